//! What is reported in English, in Chinese: what the conference tells, what the doctor finds, why a file does not come.
//!
//! Reports are written once, in English, for the terminal and for programs too. Here they are known by their pattern: `{}`
//! stands for a name, a number, or another report.

use std::borrow::Cow;

use crate::ui::words::fill;

type Pair = (&'static str, &'static str);

fn all() -> impl Iterator<Item = &'static Pair> {
    REPORTS.iter().chain(FILES).chain(DOCTOR)
}

/// A report in Chinese; as it is where no words are known for it.
pub fn translated(text: &str) -> Cow<'_, str> {
    nested(text, NESTED_MAX)
}

/// Its last part is what somebody wrote.
const SAID: &str = "not said ({}): {}";
/// Of two parts whatever they are.
const BESIDE: &str = "{} ({})";
/// Reports within reports are translated as deep as this: "camera: (..: unplugged)".
const NESTED_MAX: usize = 5;

/// The translation by the pattern that leaves the least to be put in; what is put in is translated as well.
fn nested(text: &str, nested_max: usize) -> Cow<'_, str> {
    let literal = |pattern: &str| pattern.len() - 2 * pattern.matches("{}").count();
    let fits = |(english, chinese): &Pair| taken_apart(english, text).map(|values| (*english, *chinese, values));
    let best = all().filter_map(fits).max_by_key(|(english, ..)| literal(english));
    let Some((english, chinese, values)) = best.filter(|_| nested_max > 0) else { return text.into() };
    let last = values.len().saturating_sub(1);
    let own = |i: usize| i == last && english == SAID;
    let shown = values.iter().enumerate().map(|(i, value)| match own(i) {
        true => Cow::Borrowed(*value),
        false => nested(value, nested_max - 1),
    });
    let shown: Vec<Cow<'_, str>> = shown.collect();
    if english == BESIDE && shown == values {
        // A name with a number, a device with its model: nothing that is reported.
        return text.into();
    }
    let values = shown;
    let shown: Vec<&dyn std::fmt::Display> = values.iter().map(|value| value as _).collect();
    fill(chinese, &shown).into()
}

/// What stands in `text` where the pattern has `{}`; `None` when the rest differs.
fn taken_apart<'a>(pattern: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let (first, rest) = pattern.split_once("{}").unwrap_or((pattern, ""));
    let mut left = text.strip_prefix(first)?;
    if first.len() == pattern.len() {
        return left.is_empty().then(Vec::new);
    }
    let mut values = Vec::new();
    let mut parts = rest.split("{}").peekable();
    while let Some(part) = parts.next() {
        // The last part ends the text; before it, the first place counts.
        let at = if parts.peek().is_none() { left.len().checked_sub(part.len())? } else { left.find(part)? };
        let (value, after) = (left.get(..at)?, left.get(at..)?.strip_prefix(part)?);
        if value.is_empty() {
            return None;
        }
        values.push(value);
        left = after;
    }
    Some(values)
}

/// What the conference reports, and the same in Chinese. `{}` stands for a name, a number, or another report.
#[rustfmt::skip]
const REPORTS: &[Pair] = &[
    ("with low delay nothing is done to your voice", "低延迟模式下不处理您的声音"),
    ("{} joined", "{} 已加入"),
    ("{} left", "{} 已离开"),
    ("{} is not heard of any more", "{} 已失去联系"),
    ("{} was removed by {}", "{} 被移出，操作者：{}"),
    ("{} raises a hand", "{} 举手"),
    ("{} is away", "{} 暂离"),
    ("{} is back", "{} 回来了"),
    ("{} speaks with priority", "{} 正在优先发言"),
    ("you are muted: nobody hears what you say", "您已静音：没有人听到您说话"),
    ("no camera was found: you take part without one", "未找到摄像头：您将不带画面参加"),
    ("no microphone was found: others do not hear you", "未找到麦克风：其他人听不到您"),
    ("no microphone was found", "未找到麦克风"),
    ("no speaker was found: you do not hear the others", "未找到扬声器：您听不到其他人"),
    ("camera: {}", "摄像头：{}"),
    ("camera {} stopped: {}", "摄像头 {} 已停止：{}"),
    (BESIDE, "{}（{}）"),
    ("the camera stopped sending pictures", "摄像头不再提供画面"),
    ("the camera is taking very long to open", "摄像头迟迟未能打开"),
    ("the camera was unplugged; plug it in again", "摄像头已拔出，请重新插上"),
    ("another program uses the camera; close it", "摄像头被其他程序占用，请关闭该程序"),
    ("there is no camera of that number; see roundtable devices", "没有此编号的摄像头，参见 roundtable devices"),
    ("unplug the camera and plug it in again, or choose another one", "请重新插拔摄像头，或另选一个"),
    ("{}; trying again", "{}；正在重试"),
    ("microphone: {}", "麦克风：{}"),
    ("speaker: {}", "扬声器：{}"),
    ("{}: no sound for {} s", "{}：{} 秒没有声音"),
    ("the sound server does not answer", "声音服务没有响应"),
    ("{}: it has gone", "{}：设备已断开"),
    ("{}: it is not there", "{}：设备不存在"),
    ("{} is not there: {} is used instead", "{} 不存在：改用 {}"),
    ("{} is used again", "重新使用 {}"),
    ("{}: something else uses it", "{}：被其他程序占用"),
    ("{}: no permission to use it", "{}：没有使用权限"),
    ("{}: the sound system has gone", "{}：声音系统已停止"),
    ("{}: the sound system ended its stream", "{}：声音系统结束了音频流"),
    ("{}: its driver failed", "{}：驱动程序出错"),
    ("the network is down: {}", "网络已断开：{}"),
    ("{} is gone or has no address", "{} 已消失或没有地址"),
    ("{} has no link", "{} 没有连接"),
    ("{} has no address", "{} 没有地址"),
    ("the network is back ({})", "网络已恢复（{}）"),
    ("the network is back: you are now at {} ({})", "网络已恢复：您现在的地址是 {}（{}）"),
    ("multicast reaches you again", "组播已恢复"),
    ("multicast does not reach you: the others send you copies of what they send", "组播无法到达您这里：其他人会向您发送副本"),
    ("this network does not carry the groups of streams: all streams share one group from now on", "此网络不传送各组播流：今后所有流共用一个组播组"),
    ("this network forgets who listens, so pictures and voices stopped; they are asked for again from now on. Your switch has IGMP snooping but no querier: whoever minds it can switch one on", "此网络会忘记谁在接收，画面和声音因此中断；今后会重新请求。您的交换机启用了 IGMP snooping 但没有查询器：请管理员启用查询器"),
    ("the network loses nearly all pictures: none are sent for a while, sound goes on", "网络几乎丢失所有画面：暂停发送画面，声音继续"),
    ("124 people send already: you are not seen or heard until one stops", "已有 124 人在发送：有人停止之前，其他人看不到也听不到您"),
    ("this name's identity joined from another place; others follow that one", "您的身份已在别处加入；其他人会跟随那一处"),
    ("receiving has stopped: leave and join again to see and hear the others", "接收已停止：请离开后重新加入"),
    ("the control thread ended; leaving", "控制线程已结束，正在离开"),
    ("{} events were not read in time and are lost", "有 {} 个事件未及时读取而丢失"),
    ("the conference is locked: waiting for somebody to let you in", "会议已锁定：正在等待有人允许您加入"),
    ("the conference was locked by {}: newcomers have to knock", "{} 锁定了会议：新成员须敲门"),
    ("the conference was locked: newcomers have to knock", "会议已锁定：新成员须敲门"),
    ("the conference was unlocked by {}: whoever has the passphrase may come in", "{} 解锁了会议：知道口令者可以加入"),
    ("the conference was unlocked: whoever has the passphrase may come in", "会议已解锁：知道口令者可以加入"),
    ("{}, and the one who was removed can see and hear it again", "{}；被移出的那一位又能看到和听到会议"),
    ("{}, and the {} who were removed can see and hear it again", "{}；被移出的 {} 位又能看到和听到会议"),
    ("{} asks to be let in: /admit {} or /refuse {}", "{} 请求加入：/admit {} 或 /refuse {}"),
    ("{}, who was removed before, asks to be let in: /admit {} or /refuse {}", "曾被移出的 {} 请求加入：/admit {} 或 /refuse {}"),
    ("{} does not wait at the door any more", "{} 不再等候加入"),
    ("{} owns the conference", "{} 是主持人"),
    ("{} owns the conference; {} is moderator", "{} 是主持人；{} 是管理员"),
    ("{} owns the conference; {} are moderators", "{} 是主持人；{} 是管理员"),
    ("you have no right to do that: the owner and moderators may, and only the owner decides about moderators", "您无权这样做：只有主持人和管理员可以，且只有主持人能决定管理员"),
    ("nobody of that name is at the door", "门外没有叫这个名字的人"),
    ("too much is asked at once", "请求过多"),
    ("the doctor cannot work: {}", "诊断无法进行：{}"),
    ("the doctor ended without a word", "诊断意外结束"),
    ("nobody here is called {}", "这里没有叫 {} 的人"),
    ("{}: nobody is called that here", "{}：这里没有叫这个名字的人"),
    ("{}: several are called that here: name them by their id", "{}：这里有几位叫这个名字：请用 ID 指明"),
    ("{}: several are called that at the door: name them by their id", "{}：门外有几位叫这个名字：请用 ID 指明"),
    ("{} is played at {} %, here only", "{} 以 {}% 的音量播放，仅在此处"),
    ("{} is silenced, here only", "{} 已为您静音，仅在此处"),
    ("{}: nobody is called that at the door", "{}：门外没有叫这个名字的人"),
    ("only the owner, moderators and whom they favour speak with priority, and nobody in an open conference", "只有主持人、管理员和他们指定的人可以优先发言，开放会议中没有人可以"),
    ("only the owner and moderators let others speak with priority", "只有主持人和管理员能让其他人优先发言"),
    ("you speak with priority no more: it is no longer given to you", "您不再优先发言：该权限已被收回"),
    ("you let {} people speak with priority already", "您已让 {} 人优先发言"),
    ("what is said here is kept on disk again", "聊天记录已恢复保存到磁盘"),
    ("what is said here is not kept on disk: {}", "聊天记录未保存到磁盘：{}"),
    ("the history of this conference was damaged; it is now {}", "此会议的聊天记录已损坏，已移至 {}"),
    ("nobody could tell what was said here before", "没有人能提供之前的聊天记录"),
    ("{} of the lines of {} cannot be had from anybody", "有 {} 条消息无法从任何人处获得，作者：{}"),
    ("your identity is not kept, so others will not know you again next time: {}", "您的身份未能保存，其他人下次将认不出您：{}"),
    ("there is another conference \"{}\", announced by {}: people have to tell them apart", "另有会议“{}”，由 {} 发布：请注意区分"),
    (SAID, "未发出（{}）：{}"),
    ("no files can be sent or received: {}", "无法收发文件：{}"),
    ("whom you always accept from is not kept: {}", "总是接收的名单未能保存：{}"),
    ("the voice message is saved as {}", "语音消息已保存为 {}"),
    ("no voice message is being recorded", "没有正在录制的语音消息"),
    ("the microphone gives nothing", "麦克风没有声音"),
    ("the microphone gives nothing any more: what was recorded until then is kept, and not sent yet", "麦克风不再有声音：之前录制的内容已保留，尚未发送"),
];

/// Why a file does not come or go, and why a line was not said.
#[rustfmt::skip]
const FILES: &[Pair] = &[
    ("it is not offered any more", "已不再提供"),
    ("whoever sends it left; it goes on when they offer it again, or somebody who has it does", "发送者已离开；其重新提供或有人已收到时会继续"),
    ("it was taken back", "已撤回"),
    ("whoever offered it left", "提供者已离开"),
    ("whoever offered it took it back", "提供者已撤回"),
    ("its manifest is missing", "缺少文件清单"),
    ("it is not what was offered", "内容与提供的不符"),
    ("there is no such offer", "没有这个文件"),
    ("too many files are being sent", "正在发送的文件过多"),
    ("a file can be sent to at most {} chosen people", "一个文件最多可发给 {} 位指定成员"),
    ("it is being received several times already", "已在多次接收"),
    ("it is no plain file", "不是普通文件"),
    ("there is no room for it in {}", "{} 中空间不足"),
    ("there is no room in {}", "{} 中空间不足"),
    ("{} is neither a file nor a folder", "{} 既不是文件也不是文件夹"),
    ("{} is too large: {} are the most", "{} 太大：最多 {}"),
    ("{} was changed while it was sent", "{} 在发送时被修改"),
    ("cannot {} {}: {}", "无法处理（{}）{}：{}"),
    ("cannot start a thread: {}", "无法启动线程：{}"),
    ("there is no microphone", "没有麦克风"),
    ("a voice message is being recorded already", "已在录制语音消息"),
    ("a voice message is there already: send it or discard it first", "已有一条语音消息：请先发送或丢弃"),
    ("a voice message is being recorded", "正在录制语音消息"),
    ("there is no voice message to discard", "没有可丢弃的语音消息"),
    ("there is no voice message to send", "没有可发送的语音消息"),
    ("there is no such voice message", "没有这条语音消息"),
    ("that voice message was not accepted", "该语音消息未接收"),
    ("that voice message is not here yet", "该语音消息尚未到达"),
    ("too much at once", "一次太多"),
    ("too many lines wait to be said", "等待发送的消息过多"),
    ("too many lines a second; the next in {}", "发送过快；{} 后可再发"),
    ("no more lines can be said before joining again", "重新加入之前不能再发言"),
    ("not everybody it is for is here", "接收者不全在场"),
    ("it is for too many people to be private", "私聊人数过多"),
    ("who only watches says nothing", "仅观看者不能发言"),
    ("it is for nobody", "没有接收者"),
    ("that is not the id of a line", "没有这条消息"),
    ("the line has {} bytes, and {} are the most", "该消息有 {} 字节，最多 {} 字节"),
];

/// What the doctor finds, and what mends it.
#[rustfmt::skip]
const DOCTOR: &[Pair] = &[
    // A command, and what is said of it.
    ("{}     # {}", "{}     # {}"),
    ("{}'s pictures have stopped: {}", "{} 的画面已停止：{}"),
    ("much of {}'s pictures is lost: {}", "{} 的画面丢失严重：{}"),
    ("the doctor found no fault", "未发现故障"),
    ("it is you: {}", "问题在您这边：{}"),
    ("this machine has no network interface but its loopback: it can confer with nobody else", "本机除环回外没有网络接口：无法与任何人开会"),
    ("is the adapter plugged in, and its driver loaded?", "网卡是否插好，驱动是否加载？"),
    ("the network interface {} is switched off", "网络接口 {} 已关闭"),
    ("{} is connected to no Wi-Fi network", "{} 未连接任何 Wi-Fi 网络"),
    ("{} has no link: no cable, or nothing switched on at its other end", "{} 没有连接：未插网线，或对端设备未开机"),
    ("and connect to one", "并连接其中一个"),
    ("plug the cable in at both ends", "请插好网线两端"),
    ("{} is connected and has no address: nobody assigned one, as DHCP does", "{} 已连接但没有地址：没有（如 DHCP）分配地址"),
    ("or set one: sudo ip addr add 192.168.1.10/24 dev {}", "或手动设置：sudo ip addr add 192.168.1.10/24 dev {}"),
    ("{} is connected and has an address", "{} 已连接并有地址"),
    ("the TTL is set to 0: what this machine multicasts never leaves it", "TTL 设为 0：本机的组播不会发出"),
    ("leave --ttl, `ttl` in the settings file and ROUNDTABLE_TTL out, or set 1", "去掉 --ttl、设置文件中的 ttl 和 ROUNDTABLE_TTL，或设为 1"),
    ("another machine ({}) uses this machine's address {}: what is sent to one reaches the other", "另一台机器（{}）使用了本机地址 {}：发给一台的会到达另一台"),
    ("give one of them another address: sudo dhclient -r {}; sudo dhclient {}", "为其中一台更换地址：sudo dhclient -r {}; sudo dhclient {}"),
    ("this machine's firewall lets no UDP out: nobody sees or hears you", "本机防火墙不允许 UDP 发出：没有人能看到或听到您"),
    ("this machine's firewall lets no multicast out: nobody sees or hears you", "本机防火墙不允许组播发出：没有人能看到或听到您"),
    ("this machine's firewall lets no UDP out to single machines", "本机防火墙不允许向单台机器发送 UDP"),
    ("this machine's firewall lets no UDP in: you see and hear nobody", "本机防火墙不允许 UDP 进入：您看不到也听不到任何人"),
    ("this machine's firewall closes the ports of conferences: you find none, and see and hear nobody", "本机防火墙关闭了会议端口：您找不到会议，也看不到听不到任何人"),
    ("this machine's firewall lets no multicast in: you see and hear nobody", "本机防火墙不允许组播进入：您看不到也听不到任何人"),
    ("this machine's firewall lets nothing in that is sent to it alone: joining is slow, clocks are not compared, and pictures cannot be repaired", "本机防火墙不允许单播进入：加入缓慢，时钟无法比对，画面无法修复"),
    ("what this machine multicasts does not come back to it: others on this machine see nothing, and its firewall or a security program may drop multicast", "本机的组播不会返回：本机上的其他程序看不到任何内容，可能是防火墙或安全软件丢弃了组播"),
    ("this machine's firewall drops IGMP: switches never learn what this machine wants to receive, or forget it after some minutes, and pictures and sound stop", "本机防火墙丢弃 IGMP：交换机不知道或几分钟后忘记本机要接收什么，画面和声音会中断"),
    ("or, with firewalld: sudo firewall-cmd --zone=trusted --add-source={}", "使用 firewalld 时：sudo firewall-cmd --zone=trusted --add-source={}"),
    ("the others are on another network: {} answer on {} ({}), nobody on {}", "其他人在另一个网络：{} 人在 {}（{}）上响应，{} 上没有人"),
    ("this machine is in two networks with people in both: a conference uses {}, and those on {} ({}) are not in it", "本机位于两个网络，两边都有人：会议使用 {}，{}（{}）上的人不在其中"),
    ("or `interface = \"{}\"` in the settings file", "或在设置文件中写 interface = \"{}\""),
    ("{} can be heard, and nothing this machine sends arrives there: the firewall there, or a switch or access point between, lets UDP pass in one direction only", "能收到 {}，但本机发送的都到不了那里：对方防火墙、交换机或接入点只让 UDP 单向通过"),
    ("on the other machine: sudo roundtable doctor", "在另一台机器上：sudo roundtable doctor"),
    ("and allow UDP in from this network", "并允许来自此网络的 UDP"),
    ("no conference \"{}\" answers on {}", "没有名为“{}”的会议在 {} 上响应"),
    ("is it the same network, and is the conference still there?", "是否同一网络，会议是否还在？"),
    ("nobody answers on {}: what passes to others and back was not measured", "{} 上没有人响应：往返情况未测量"),
    ("on another machine, then this one again", "在另一台机器上运行，然后回到本机"),
    ("\"{}\" has {} people, {} of whom answer", "“{}”有 {} 人，其中 {} 人响应"),
    ("of somebody who is missing", "缺席者的地址"),
    ("no machine with the address {} is on this network: {} is switched off, unplugged or elsewhere", "此网络上没有地址为 {} 的机器：{} 已关机、断开或在别处"),
    ("and look at that machine's cable and address", "并检查那台机器的网线和地址"),
    ("the machine of {} is there, and Roundtable does not run on it: it has ended or crashed", "{} 的机器在线，但未运行 Roundtable：已退出或崩溃"),
    ("on that machine: roundtable join", "在那台机器上：roundtable join"),
    ("{} does not answer: the program has ended there, or a firewall drops UDP", "{} 没有响应：程序已退出，或防火墙丢弃了 UDP"),
    ("on that machine: sudo roundtable doctor", "在那台机器上：sudo roundtable doctor"),
    ("no switch or router here asks who wants which multicast (no IGMP querier was heard)", "这里没有交换机或路由器查询组播成员（未发现 IGMP 查询器）"),
    ("{}; the switch sends all multicast to everybody, so it works, at the cost of everybody's link", "{}；交换机把所有组播发给所有人，可以工作，但占用每个人的带宽"),
    ("{}, {}: pictures and sound stop after some minutes, when the switch forgets who wanted them", "{}，{}：几分钟后交换机忘记成员，画面和声音会中断"),
    ("and the switch snoops", "且交换机启用了 snooping"),
    ("and the switch may snoop", "且交换机可能启用了 snooping"),
    ("switch the IGMP snooping querier on in the switch or router; for a trial: sudo ip link add name br0 type bridge mcast_querier 1", "在交换机或路由器中启用 IGMP snooping 查询器；试用：sudo ip link add name br0 type bridge mcast_querier 1"),
    ("what this machine multicasts does not arrive at {}, and other packets do: they see and hear nothing of you", "本机的组播到不了 {}，其他数据包可以：他们看不到也听不到您"),
    ("what {} multicasts does not arrive here, and other packets do: you see and hear nothing of them", "{} 的组播到不了这里，其他数据包可以：您看不到也听不到他们"),
    ("packets between this machine and {} alone are dropped on the way, and multicast passes: joining is slow, and pictures cannot be repaired", "本机与 {} 之间的单播在途中被丢弃，组播可以通过：加入缓慢，画面无法修复"),
    ("its firewall, or its switch port", "检查其防火墙或交换机端口"),
    ("sudo roundtable doctor on the other machine, for its firewall; and look at the switch or access point: its IGMP snooping, its isolation of clients", "在另一台机器上运行 sudo roundtable doctor 检查防火墙；并检查交换机或接入点的 IGMP snooping 和客户端隔离"),
    ("between this machine and {}", "本机与 {} 之间"),
    ("between this machine and {}, and to nobody else", "仅本机与 {} 之间"),
    ("between this machine and everybody", "本机与所有人之间"),
    ("look at this machine's cable, Wi-Fi and switch port", "检查本机的网线、Wi-Fi 和交换机端口"),
    ("ip -s link shows errors", "ip -s link 可显示错误"),
    ("look at the cable, Wi-Fi and switch port of {}", "检查 {} 的网线、Wi-Fi 和交换机端口"),
    ("look at the cables, Wi-Fi and switch ports of both", "检查双方的网线、Wi-Fi 和交换机端口"),
    ("only {} Mb/s get through {}: too little for video", "{} Mb/s 是{}的全部带宽：不足以传输视频"),
    ("{} % of the packets are lost {}: pictures break and words are missing", "{}% 的数据包丢失（{}）：画面破碎，话语缺失"),
    ("a packet takes {} ms there and back {}: this is no local network, or it is overloaded", "数据包往返 {} 毫秒（{}）：不是局域网，或网络过载"),
    ("is a VPN, a tunnel or a bad Wi-Fi between? use another interface: roundtable join --interface NAME", "中间是否有 VPN、隧道或不良 Wi-Fi？请换用其他接口：roundtable join --interface NAME"),
    ("{} carries packets of {} bytes at most, and those of a conference have up to {}: they are cut in pieces, and a picture is lost when one piece is", "{} 最多传送 {} 字节的数据包，会议的数据包可达 {} 字节：会被分片，丢失一片即丢失整个画面"),
    ("small packets pass {}, those as large as video's do not: something on the way has a small MTU", "小数据包可以通过（{}），视频大小的不行：途中某处 MTU 过小"),
    ("on the machine or device with the smaller one: ip link", "在 MTU 较小的机器或设备上：ip link"),
    ("{} says that pictures or sound are sent, packets pass both ways, and none come: the switch has forgotten the group, or the program there hangs", "{} 表示正在发送，双向可通，但什么也没收到：交换机忘记了该组，或对方程序停止响应"),
    ("leave and join again, both of you", "请双方离开后重新加入"),
    ("this machine's clock is {} away from everybody else's: lines of the chat bear wrong times", "本机时钟与其他人相差 {}：聊天时间会不正确"),
    ("the clock of {} is {} away from the others': lines of the chat bear wrong times", "{} 的时钟与其他人相差 {}：聊天时间会不正确"),
    ("the clocks of this machine and the other are {} apart: lines of the chat bear wrong times", "本机与对方的时钟相差 {}：聊天时间会不正确"),
    ("{} seconds", "{} 秒"),
    ("{} minutes", "{} 分钟"),
    ("{} hours", "{} 小时"),
    ("on the machine whose clock is wrong: date", "在时钟不准的机器上：date"),
    ("{} is Wi-Fi: multicast is slow there and not repeated when it is lost", "{} 是 Wi-Fi：组播较慢，丢失后不会重发"),
    ("use a cable where you can", "尽量使用网线"),
    ("{} is no real network card: a container, a virtual machine or a VPN", "{} 不是真实网卡：容器、虚拟机或 VPN"),
    ("and --interface NAME for another", "并用 --interface NAME 换用其他接口"),
    ("looking at the network card is not permitted: whether there is an IGMP querier, whether the switch floods, and whether another machine has the same address are not known", "没有查看网卡的权限：无法得知是否有 IGMP 查询器、交换机是否泛洪、是否有地址冲突"),
    ("the system keeps {} KiB of what has arrived{}, less than one large picture: when this machine is busy pictures are lost", "系统只缓存 {} KiB 已到达的数据{}，不足一个大画面：本机繁忙时会丢失画面"),
    ("the system keeps {} KiB of what has arrived, less than one large picture: when this machine is busy pictures are lost", "系统只缓存 {} KiB 已到达的数据，不足一个大画面：本机繁忙时会丢失画面"),
    ("and in /etc/sysctl.d/ to keep it", "并写入 /etc/sysctl.d/ 以保留"),
    ("lists them; --{} none does without", "列出设备；--{} none 表示不使用"),
    ("there is no {} \"{}\" ({}): {}", "没有 {} “{}”（{}）：{}"),
    ("no {} was found: {}", "未找到 {}：{}"),
    ("there is none", "一个也没有"),
    ("there is {}", "现有 {}"),
    ("nobody sees you", "没有人能看到您"),
    ("nobody hears you", "没有人能听到您"),
    ("you hear nobody", "您听不到任何人"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::words::Language;

    #[test]
    fn reports_are_taken_apart_and_put_together_again() {
        let chinese = Language::Chinese.words();
        for (english, expected) in [
            ("Ada joined", "Ada 已加入"),
            ("the network is down: eth0 has no link", "网络已断开：eth0 没有连接"),
            ("microphone: USB: it has gone; trying again", "麦克风：USB：设备已断开；正在重试"),
            ("Ada owns the conference; Bob, Carol are moderators", "Ada 是主持人；Bob, Carol 是管理员"),
            ("something nobody has words for", "something nobody has words for"),
            (" joined", " joined"),
            ("", ""),
        ] {
            assert_eq!(chinese.report(english), expected, "{english}");
        }
        assert_eq!(Language::English.words().report("Ada joined"), "Ada joined");
        for (english, chinese) in all().filter(|(english, _)| *english != BESIDE) {
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{english}");
            let values: Vec<&dyn std::fmt::Display> = vec![&"x"; 4];
            assert_eq!(nested(&fill(english, &values), 1), fill(chinese, &values), "{english}");
        }
    }

    /// The text of a literal in source, with `{}` for whatever is put in.
    fn plain(literal: &str) -> String {
        let mut out = String::new();
        let mut parts = literal.split('{');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            out.push_str("{}");
            out.push_str(part.split_once('}').map_or("", |(_, after)| after));
        }
        out
    }

    #[test]
    fn names_and_what_people_write_stay_as_they_are() {
        assert_eq!(translated("Ada (2)"), "Ada (2)");
        assert_eq!(translated("Ada (2) joined"), "Ada (2) 已加入");
        assert_eq!(translated("not said (too much at once): I left"), "未发出（一次太多）：I left");
    }

    #[test]
    fn whatever_the_conference_says_in_one_place_has_a_translation() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conference");
        let mut found = 0;
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|p| p.is_file()) {
            let source = std::fs::read_to_string(&file).unwrap();
            let source = source.split("#[cfg(test)]").next().unwrap_or_default();
            for said in source.split(".say(").skip(1) {
                let head = said.split(");").next().unwrap_or_default();
                let Some((_, text)) = head.split_once('"') else { continue };
                let Some((text, _)) = text.split_once('"') else { continue };
                let text = plain(text);
                // Of such the words come from elsewhere.
                if text.chars().filter(|c| c.is_alphabetic()).count() < 4 {
                    continue;
                }
                found += 1;
                assert!(all().any(|(english, _)| *english == text), "{}: {text:?}", file.display());
            }
        }
        assert!(found > 20, "{found} reports found in the source");
    }

    /// The literals of a source file outside of its comments and tests, continued lines joined.
    fn literals(source: &str) -> Vec<String> {
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        let (mut all, mut inside, mut chars) = (Vec::new(), None::<String>, code.chars().peekable());
        while let Some(c) = chars.next() {
            match (&mut inside, c) {
                (Some(text), '\\') => match chars.next() {
                    Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                    Some(c) => text.push(c),
                    None => {}
                },
                (Some(_), '"') => all.extend(inside.take()),
                (Some(text), c) => text.push(c),
                (None, '"') => inside = Some(String::new()),
                (None, _) => {}
            }
        }
        all
    }

    #[test]
    fn whatever_the_doctor_finds_and_advises_has_a_translation() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/doctor/rules");
        let commands = ["(net.core", "sudo ", "ip ", "nmcli ", "roundtable ", "ping "];
        let mut found = 0;
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            for text in literals(&std::fs::read_to_string(&file).unwrap()) {
                let text = plain(&text);
                let parts = text.split(" # ").map(str::trim);
                let said = parts.filter(|part| !commands.iter().any(|command| format!("{part} ").starts_with(command)));
                for part in said.filter(|part| part.split(' ').count() > 2 && part.chars().any(|c| c.is_alphabetic())) {
                    found += 1;
                    // Some are put together: "{} {}" of a name and what is said of it.
                    let known = all().any(|(english, _)| *english == part || english.ends_with(part));
                    assert!(known, "{}: {part:?}", file.display());
                }
            }
        }
        assert!(found > 60, "{found} texts found in the source");
    }

    #[test]
    fn why_a_file_does_not_come_has_a_translation() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = 0;
        let files =
            ["pipeline/transfer/role/mod.rs", "pipeline/transfer/role/said.rs", "pipeline/transfer/role/give.rs"];
        for file in
            files.into_iter().chain(["device/files/mod.rs", "conference/voice.rs", "protocol/session/outputs.rs"])
        {
            let source = std::fs::read_to_string(folder.join(file)).unwrap();
            let source: Vec<&str> = source.lines().filter(|line| !line.contains("tracing::")).collect();
            for text in literals(&source.join("\n")) {
                let text = plain(&text);
                if text.split(' ').filter(|word| word.chars().all(char::is_alphabetic)).count() < 4 {
                    continue;
                }
                found += 1;
                assert!(all().any(|(english, _)| *english == text), "{file}: {text:?}");
            }
        }
        assert!(found > 15, "{found} texts found in the source");
    }

    #[test]
    fn what_is_played_and_who_is_meant_is_told_in_chinese() {
        for (english, chinese) in [
            ("Bob is played at 50 %, here only", "Bob 以 50% 的音量播放，仅在此处"),
            ("Bob is silenced, here only", "Bob 已为您静音，仅在此处"),
            ("Bob: several are called that here: name them by their id", "Bob：这里有几位叫这个名字：请用 ID 指明"),
            (
                "Bob: several are called that at the door: name them by their id",
                "Bob：门外有几位叫这个名字：请用 ID 指明",
            ),
        ] {
            assert_eq!(translated(english), chinese);
        }
    }

    #[test]
    fn what_mends_a_fault_keeps_its_command() {
        for (english, chinese) in [
            (
                "ping 10.0.0.1     # and look at that machine's cable and address",
                "ping 10.0.0.1     # 并检查那台机器的网线和地址",
            ),
            ("use a cable where you can", "尽量使用网线"),
            ("sudo ip link set eth0 up", "sudo ip link set eth0 up"),
            (
                "Bob's pictures have stopped: it is you: this machine's firewall lets no UDP out: nobody sees or hears you (sudo x)",
                "Bob 的画面已停止：问题在您这边：本机防火墙不允许 UDP 发出：没有人能看到或听到您（sudo x）",
            ),
        ] {
            assert_eq!(translated(english), chinese);
        }
    }

    /// Chinese writes its own commas, colons and brackets, in the window's words and in what is reported.
    #[test]
    fn chinese_is_punctuated_as_chinese() {
        let is_chinese = |c: char| ('\u{3400}'..='\u{9fff}').contains(&c);
        for (_, chinese) in all() {
            for (before, mark) in chinese.chars().zip(chinese.chars().skip(1)) {
                assert!(!(is_chinese(before) && ",:;?!(".contains(mark)), "{chinese}");
            }
        }
    }
}
