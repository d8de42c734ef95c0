//! Every word the window itself says, in each of its languages: one table. `{}` stands for what is put in.
//!
//! Names and chat are shown as they are. What the conference reports comes in English, for the terminal and for programs
//! too; [`Words::report`] finds the other language's words for it in tables of their own (`reports.rs`).

use std::borrow::Cow;

use crate::ui::reports;

/// The languages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Chinese, simplified.
    Chinese,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 2] = [Language::English, Language::Chinese];

    /// As settings name it.
    pub fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }

    /// What it calls itself.
    pub fn own_name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Chinese => "中文",
        }
    }

    /// What it is called in English.
    pub fn english_name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Chinese => "Chinese",
        }
    }

    /// The one of a locale such as "zh_CN.UTF-8"; English where it is none of ours.
    pub fn of_locale(locale: &str) -> Self {
        if locale.to_lowercase().starts_with("zh") { Language::Chinese } else { Language::English }
    }

    /// Its words.
    pub fn words(self) -> &'static Words {
        match self {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

/// Puts values where a text has `{}`, in order.
pub fn fill(text: &str, values: &[&dyn std::fmt::Display]) -> String {
    let mut parts = text.split("{}");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (n, part) in parts.enumerate() {
        if let Some(value) = values.get(n) {
            out.push_str(&value.to_string());
        }
        out.push_str(part);
    }
    out
}

impl Words {
    /// What the conference reported, in this language; as it is where no words are known for it.
    pub fn report<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.spoken == Language::English { text.into() } else { reports::translated(text) }
    }
}

macro_rules! words {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// What the window says, in one language.
        pub struct Words {
            /// Which language it is.
            pub spoken: Language,
            $(#[doc = $english] pub $name: &'static str,)*
        }
        static ENGLISH: Words = Words { spoken: Language::English, $($name: $english,)* };
        static CHINESE: Words = Words { spoken: Language::Chinese, $($name: $chinese,)* };
        #[cfg(test)]
        const PAIRS: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese),)*];
    };
}

words! {
    mute: "Mute", "静音";
    unmute: "Unmute", "取消静音";
    microphone_off_tip: "Microphone off (M)", "关闭麦克风（M）";
    microphone_on_tip: "Microphone on (M; hold Space to talk)", "打开麦克风（M；按住空格键讲话）";
    call_tip: "Speak over all others: hold this or A, or press twice", "优先发言：按住此处或 A 键，或按两次";
    call_end_tip: "Speak over all others no more", "停止优先发言";
    no_microphone: "No microphone", "没有麦克风";
    camera: "Camera", "摄像头";
    start_camera: "Start camera", "打开摄像头";
    stop_camera: "Stop camera", "关闭摄像头";
    camera_on_tip: "Camera on (V)", "打开摄像头（V）";
    camera_off_tip: "Camera off (V)", "关闭摄像头（V）";
    no_camera: "No camera", "没有摄像头";
    raise_hand: "Raise hand", "举手";
    lower_hand: "Lower hand", "放下手";
    raise_hand_tip: "Raise your hand (H)", "举手（H）";
    lower_hand_tip: "Lower your hand (H)", "放下手（H）";
    react: "React", "表情";
    react_tip: "Show everybody an emoji (E)", "向所有人发送表情（E）";
    chat: "Chat", "聊天";
    chat_tip: "Chat (C)", "聊天（C）";
    chat_unread_tip: "Chat: {} not read (C)", "聊天：{} 条未读（C）";
    people: "People", "成员";
    people_tip: "People (P)", "成员（P）";
    people_knock_tip: "People: {} at the door (P)", "成员：{} 人等候加入（P）";
    files: "Files", "文件";
    files_tip: "Files (T)", "文件（T）";
    files_open_tip: "Files: {} offered (T)", "文件：{} 个待接收（T）";
    view: "View", "布局";
    view_grid_tip: "Everybody alike (G)", "平铺所有人（G）";
    view_speaker_tip: "Whoever talks large (G)", "突出发言者（G）";
    settings: "Settings", "设置";
    settings_tip: "Settings (O)", "设置（O）";
    statistics: "Statistics", "统计";
    statistics_tip: "Statistics (S)", "统计（S）";
    keys: "Keys", "快捷键";
    keys_tip: "Keys (F1 or ?)", "快捷键（F1 或 ?）";
    leave: "Leave", "离开";
    leave_tip: "Leave (Ctrl+Q)", "离开（Ctrl+Q）";
    page_back_tip: "Page back (Page Up)", "上一页（Page Up）";
    page_on_tip: "Page on (Page Down)", "下一页（Page Down）";
    page_of: "page {} of {}", "第 {} 页，共 {} 页";
    last_title: "You are the last one here.", "您是最后一位成员。";
    last_text: "The conference ends when you leave.", "您离开后会议将结束。";
    end: "End it", "结束会议";
    stay: "Stay", "留下";
    cancel: "Cancel", "取消";
    close: "Close", "关闭";
    nobody_here: "nobody here yet", "还没有人";
    only_you: "only you", "只有您";
    one_person: "1 person", "1 人";
    n_people: "{} people", "{} 人";
    watching: " · you are watching", " · 您正在观看";
    open_short: "Open", "开放";
    open_long: "Open: anyone on this network can watch", "开放：此网络上的任何人都能观看";
    locked_short: "Locked", "已锁定";
    nobody_yet: "Nobody is here yet.", "这里还没有人。";
    waiting_others: "Waiting for others.", "正在等待其他人。";
    they_type: "They type:  roundtable join \"{}\"", "对方输入：roundtable join \"{}\"";
    waiting_door: "The conference is locked. Waiting for somebody to let you in.", "会议已锁定，正在等待有人允许您加入。";
    you: "{} (you)", "{}（您）";
    away: "away", "暂离";
    connecting: "connecting…", "正在连接…";
    no_picture_for: "no picture for {} s", "已 {} 秒没有画面";
    said_microphone_off: ", microphone off", "，麦克风关闭";
    said_hand: ", hand raised", "，已举手";
    said_away: ", away", "，暂离";
    said_talks: ", talking", "，正在讲话";
    said_pinned: ", pinned", "，已固定";
    said_silenced: ", silenced for you", "，已为您静音";
    tile_tip: "Click pins, double click fills the window", "单击固定，双击全窗口显示";
    link_good: "The connection is good.", "连接良好。";
    link_loss: "{} % of the pictures' packets are lost.", "画面数据包丢失 {}%。";
    link_late: "Pictures come {} ms late.", "画面延迟 {} 毫秒。";
    link_slow: "Only {} pictures a second come.", "每秒只收到 {} 帧画面。";
    link_none: "Pictures have stopped coming.", "画面已停止。";
    link_said: "connection {} of 4: {}", "连接 {}/4：{}";
    why_not_seen: "Why can I not see {}?", "为什么看不到 {}？";
    why_not_seen_tip: "Looks for what is wrong, on both sides and between them", "检查双方及网络的问题";
    examining: "Looking for what is wrong. This takes some seconds…", "正在检查，需要几秒钟…";
    no_fault: "No fault was found.", "未发现故障。";
    it_is_you: "It is you: ", "问题在您这边：";
    by_groups: "reached by multicast", "通过组播到达";
    by_single: "reached by one multicast group alone", "仅通过一个组播组到达";
    by_unicast: "reached by copies (unicast)", "通过单播副本到达";
    key_m: "microphone off or on", "关闭或打开麦克风";
    key_space: "hold to talk while the microphone is off", "麦克风关闭时按住讲话";
    key_a: "speak over all others as long as it is held, if you may", "按住期间优先发言（如有权限）";
    key_v: "camera off or on", "关闭或打开摄像头";
    key_h: "raise your hand, or lower it", "举手或放下手";
    key_e: "show everybody an emoji", "向所有人发送表情";
    key_c: "chat", "聊天";
    key_p: "people", "成员";
    key_t: "files", "文件";
    key_g: "everybody alike, or whoever talks large", "平铺所有人，或突出发言者";
    key_arrows: "go to somebody's picture", "选择某人的画面";
    key_enter: "pin that picture; F: fill the window with it", "固定该画面；F：全窗口显示";
    key_o: "settings", "设置";
    key_s: "statistics", "统计";
    key_help: "this list", "此列表";
    key_pages: "other people, when there are more than fit", "人数过多时翻页";
    key_tab: "go to a control, then press it", "移到控件并按下";
    key_zoom: "larger or smaller text", "放大或缩小文字";
    key_esc: "close what is open", "关闭已打开的内容";
    key_leave: "leave", "离开";
    arrows: "Arrows", "方向键";
    space: "Space", "空格";
    key_or_help: "F1 or ?", "F1 或 ?";
    key_tab_space: "Tab, then Space", "Tab，再按空格";
    everybody: "Everybody", "所有人";
    write_everybody: "Write to everybody", "给所有人写";
    write_to: "Write to {} only", "仅写给 {}";
    send: "Send", "发送";
    send_tip: "Send (Enter; Shift+Enter begins a new line)", "发送（Enter；Shift+Enter 换行）";
    emoji_tip: "Emoji", "表情符号";
    voice_begin: "Record a voice message: hold, or press twice", "录制语音消息：按住，或按两次";
    voice_end: "End the recording", "结束录制";
    voice_discard: "Discard the voice message", "丢弃语音消息";
    voice_send: "Send the voice message", "发送语音消息";
    voice_play: "Play", "播放";
    voice_pause: "Pause", "暂停";
    voice_save: "Save to where files go", "保存到下载文件夹";
    voice_gone: "it is no longer here", "已不在此处";
    voice_not_taken: "it was not accepted", "未接收";
    find_emoji: "Find by name", "按英文名称查找";
    no_emoji: "No emoji is called that.", "没有这个名称的表情。";
    reply: "Reply", "回复";
    reply_tip: "Reply (R)", "回复（R）";
    react_line_tip: "React with an emoji (E)", "用表情回应（E）";
    copy: "Copy", "复制";
    copy_tip: "Copy the words (Ctrl+C)", "复制文字（Ctrl+C）";
    replying_to: "Reply to {}: {}", "回复 {}：{}";
    chat_empty: "Nothing was said yet.\nWhat you write here goes to everybody.", "还没有人发言。\n您在这里写的内容会发给所有人。";
    chat_empty_private: "Only {} and you can read this.", "只有 {} 和您能看到。";
    came_late: "came late", "迟到";
    delivered: "{} of {} have it", "{}/{} 人已收到";
    delivered_all: "all have it", "所有人已收到";
    unheard: "nobody could receive it", "无人收到";
    new_below: "{} new", "{} 条新消息";
    to_newest: "To the newest", "回到最新";
    new_chat_tip: "A private chat with one or some", "与一人或几人私聊";
    choose_people: "Private chat with…", "与谁私聊…";
    begin_chat: "Begin", "开始";
    close_chat_tip: "Close this private chat", "关闭此私聊";
    not_here: "{} is not here now: they cannot receive this.", "{} 目前不在：无法收到。";
    open_link_tip: "Open in the browser: {}", "在浏览器中打开：{}";
    no_font: "This computer has no font for {}: those characters are shown as boxes.", "此电脑没有{}字体：这些字符显示为方框。";
    not_shaped: "{} cannot be shown properly here: its characters are not joined, and run from left to right.", "此处无法正确显示{}文字：字符不会连写，且从左到右排列。";
    some_characters: "some characters", "某些字符";
    too_long: "{} bytes too long", "超出 {} 字节";
    owner: "owner", "主持人";
    moderator: "moderator", "管理员";
    invite: "Invite", "邀请";
    invite_title: "Invite others", "邀请其他人";
    invite_open: "Anyone on this network finds the conference in the list and can join.", "此网络上的任何人都能在列表中找到并加入会议。";
    invite_words: "The words:", "口令：";
    invite_no_words: "Whoever started the conference has the words. This invite asks for them.", "口令由会议发起人保管，此邀请会要求输入口令。";
    show_words: "Show", "显示";
    hide_words: "Hide", "隐藏";
    copy_words: "Copy the words", "复制口令";
    copy_invite: "Copy the invite", "复制邀请";
    invite_how: "The invite is pasted into the start screen, or into: roundtable join -", "将邀请粘贴到开始界面，或用于：roundtable join -";
    copied: "Copied", "已复制";
    lock: "Lock", "锁定";
    unlock: "Unlock", "解锁";
    lock_tip: "Newcomers have to knock", "新成员须敲门";
    unlock_tip: "Whoever has the words may come in", "知道口令者可以加入";
    wants_in: "{} asks to be let in", "{} 请求加入";
    admit: "Admit", "允许";
    refuse: "Refuse", "拒绝";
    remove: "Remove", "移出";
    remove_sure: "Remove {} for good?", "确定移出 {}？";
    make_moderator: "Make moderator", "设为管理员";
    no_moderator: "Moderator no more", "取消管理员";
    favour: "Let speak over all", "允许优先发言";
    no_favour: "No longer over all", "取消优先发言";
    favour_tip: "As long as you are here, they may speak with priority: all others are softer meanwhile", "您在场期间，此人可以优先发言：其他人的声音会降低";
    hand_over: "Hand over", "移交";
    hand_over_sure: "Make {} the owner? You will be a member.", "让 {} 成为主持人？您将成为普通成员。";
    yes: "Yes", "是";
    private_chat: "Private chat", "私聊";
    pin: "Pin", "固定";
    unpin: "Unpin", "取消固定";
    volume_for_me: "Volume for me", "我听到的音量";
    silence: "Silence for me", "为我静音";
    hear_again: "Hear again", "恢复声音";
    receives_nothing: "no picture is received", "未接收画面";
    receives: "{} {}×{} · {} fps · {} kbit/s", "{} {}×{} · {} 帧/秒 · {} kbit/s";
    receives_more: "loss {} % · delay {} · sound waits {} ms", "丢失 {}% · 延迟 {} · 音频缓冲 {} 毫秒";
    sends: "you send {} {}×{} · {} fps · {} kbit/s", "您发送 {} {}×{} · {} 帧/秒 · {} kbit/s";
    find_people: "Find somebody", "查找成员";
    nobody_called: "Nobody is called that.", "没有这样的成员。";
    microphone: "Microphone", "麦克风";
    speaker: "Speaker", "扬声器";
    automatic: "Automatic", "自动";
    none: "None", "无";
    test_picture: "Test picture", "测试画面";
    test_voice: "Test voice", "测试声音";
    looking_for_devices: "looking for devices…", "正在查找设备…";
    interface: "Network interface", "网络接口";
    next_time: "from the next conference on", "下次会议生效";
    quality: "Picture quality", "画面质量";
    theme: "Theme", "主题";
    theme_dark: "Dark", "深色";
    theme_light: "Light", "浅色";
    language: "Language", "语言";
    text_size: "Text size", "文字大小";
    follows_screen: "As the screen", "跟随屏幕";
    crop: "Fill tiles (cut the edges of pictures)", "填满画面（裁去边缘）";
    still: "Reduce motion (tiles jump to their places)", "减少动画（画面直接就位）";
    saved_in: "Kept in {}", "保存在 {}";
    not_saved: "Not kept: {}", "未保存：{}";
    devices: "Devices", "设备";
    your_voice: "Your voice", "您的声音";
    talk: "Heard", "发送声音";
    talk_open: "All the time", "一直";
    talk_voice: "While you speak", "讲话时";
    talk_threshold: "Sent when louder than", "高于此音量时发送";
    talk_push: "While you hold Space", "按住空格键时";
    priority: "Speak over all others", "优先发言";
    echo: "Take the speaker's echo out", "消除回声";
    noise: "Hold noise down", "降低噪声";
    gain: "Even out loudness", "自动调节音量";
    headset: "I wear a headset", "我戴着耳机";
    as_it_is: "With low delay nothing is done to your voice", "低延迟模式下不处理您的声音";
    appearance: "Appearance", "外观";
    network: "Network", "网络";
    your_name: "Your name", "您的名字";
    on_this_network: "Conferences on this network", "此网络上的会议";
    looking: "Looking for conferences…", "正在查找会议…";
    none_found: "None is answering on {}.\nStart one, or paste an invite.", "{} 上没有会议响应。\n请发起会议，或粘贴邀请。";
    join: "Join", "加入";
    joining: "Joining {}…", "正在加入 {}…";
    starting: "Starting {}…", "正在发起 {}…";
    start_one: "Start a conference", "发起会议";
    title: "Title", "标题";
    title_hint: "What it is called", "会议名称";
    start_open: "Open: anyone on this network can watch", "开放：此网络上的任何人都能观看";
    start_protected: "Protected: words are made up for it", "受保护：自动生成口令";
    start: "Start", "发起";
    words_field: "The words", "口令";
    paste_invite: "Paste an invite", "粘贴邀请";
    kind_open: "open", "开放";
    kind_protected: "protected", "受保护";
    kind_locked: "locked: knock", "已锁定：须敲门";
    preview: "This is how others see and hear you", "其他人看到和听到的您";
    level: "Microphone level", "麦克风音量";
    sending_nothing: "Nothing is sent before you join.", "加入前不会发送任何内容。";
    bad_name: "A name is needed.", "请输入名字。";
    bad_title: "A title is needed.", "请输入标题。";
    bad_words: "Those are not the words of this conference.", "口令不正确。";
    no_answer: "The conference of the invite, {}, does not answer.", "邀请中的会议 {} 没有响应。";
    not_entered: "Entering ended without a word. Try again.", "加入过程意外结束，请重试。";
    gone: "{} has ended, or is out of reach.", "{} 已结束或无法访问。";
    column_layer: "layer", "层";
    column_size: "size", "大小";
    column_rate: "fps", "帧率";
    column_loss: "loss %", "丢包 %";
    column_latency: "latency ms", "延迟 ms";
    column_audio: "audio ms", "音频 ms";
    send_file: "Send the file", "发送文件";
    send_file_tip: "Send a file", "发送文件";
    path_hint: "Path of a file or folder", "文件或文件夹的路径";
    drops: "Files can be dropped anywhere on this window as well.", "也可以把文件拖放到此窗口的任意位置。";
    drop_here: "Let go to send it: {}", "松开鼠标即发送：{}";
    no_drop: "Files cannot be dropped on this window: paste their path.", "无法拖放文件：请粘贴路径。";
    no_files: "Nothing was offered yet.", "还没有文件。";
    file_gone: "A file that was offered long ago", "很久以前提供的文件";
    offered_by: "{} offers", "{} 提供";
    you_offer: "You offer", "您提供";
    private_file: "privately", "私下";
    voice_message: "Voice message", "语音消息";
    accept: "Accept", "接收";
    decline: "Decline", "拒收";
    declined: "Declined", "已拒收";
    always: "Always", "总是接收";
    always_tip: "Accept this and whatever {} offers from now on", "接收此文件及 {} 今后提供的所有文件";
    save_in: "Save as…", "另存为…";
    folder_hint: "Folder, or a new name", "文件夹或新文件名";
    save: "Save", "保存";
    saved_as: "Saved as {}", "已保存为 {}";
    stop: "Stop", "停止";
    take_back: "Take back", "撤回";
    part_of: "{} of {}", "{} / {}";
    time_left: "{} left", "剩余 {}";
    and_more: "and {} more", "以及另外 {} 人";
    file_asked: "has not answered", "未答复";
    file_receives: "receives it", "接收中";
    file_behind: "is behind", "落后";
    file_declined: "declined", "已拒收";
    file_has: "has it", "已收到";
    file_left: "left", "已离开";
    try_again: "Try again", "重试";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_and_takes_the_same_values_in_each_language() {
        for (name, english, chinese) in PAIRS {
            assert!(!english.is_empty() && !chinese.is_empty(), "{name}");
            assert_eq!(english.matches("{}").count(), chinese.matches("{}").count(), "{name}");
            // A translation that was forgotten; what both write alike has no letters of its own.
            assert!(english != chinese, "{name}");
        }
    }

    #[test]
    fn values_stand_where_they_belong() {
        assert_eq!(fill("{} of {}", &[&1, &"two"]), "1 of two");
        assert_eq!(fill("none", &[&1]), "none");
        assert_eq!(fill("{} and {}", &[&1]), "1 and ");
    }

    #[test]
    fn a_locale_names_a_language() {
        for (locale, language) in
            [("zh_CN.UTF-8", Language::Chinese), ("zh", Language::Chinese), ("de", Language::English)]
        {
            assert_eq!(Language::of_locale(locale), language);
        }
        assert!(Language::ALL.iter().all(|l| !l.own_name().is_empty() && l.code().len() == 2));
    }
}
