//! Fonts of the system for what the window's own cannot show, found while it runs.
//!
//! ```text
//! text with a character that has no glyph --its script, once--> [thread] looks through the system's fonts
//! context's fonts <--the first that has it, the plainest first--'
//! ```
//! Nothing is looked for until something needs it. The window goes on meanwhile, with boxes for those characters.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use egui::{Context, FontData, FontDefinitions, FontFamily, FontId};
use skrifa::MetadataProvider;

use crate::pipeline::slot::Waker;
use crate::ui::text::visible;

/// Below this everything is in the window's own fonts: Latin, Greek, Cyrillic.
const OWN: char = '\u{0530}';
/// Blocks without a name that may be asked for: somebody's odd line must not keep others from their script.
const BLOCKS_ASKED: usize = 40;
/// So often may be looked for a font with a character of one script: a rare one may be in none but the second.
const TIMES_ASKED: u8 = 4;
/// Characters that need no second look, at most: there are more only where somebody sends all there are.
const SETTLED_MAX: usize = 50_000;
/// As many questions as there can be at once.
const QUESTIONS: usize = SCRIPTS.len() + BLOCKS_ASKED;

/// Scripts by their blocks, and what they are called in a notice.
const SCRIPTS: [(u32, u32, &str); 24] = [
    (0x0530, 0x058f, "Armenian"),
    (0x0590, 0x05ff, "Hebrew"),
    (0x0600, 0x06ff, "Arabic"),
    (0x0750, 0x077f, "Arabic"),
    (0x0900, 0x097f, "Devanagari"),
    (0x0980, 0x09ff, "Bengali"),
    (0x0b80, 0x0bff, "Tamil"),
    (0x0c00, 0x0c7f, "Telugu"),
    (0x0e00, 0x0e7f, "Thai"),
    (0x0e80, 0x0eff, "Lao"),
    (0x1000, 0x109f, "Burmese"),
    (0x10a0, 0x10ff, "Georgian"),
    (0x1100, 0x11ff, "Korean"),
    (0x1200, 0x137f, "Ethiopic"),
    (0x1780, 0x17ff, "Khmer"),
    (0x3040, 0x30ff, "Japanese"),
    (0x3130, 0x318f, "Korean"),
    (0xac00, 0xd7af, "Korean"),
    (0x2e80, 0x303f, "Chinese"),
    (0x3400, 0x4dbf, "Chinese"),
    (0x4e00, 0x9fff, "Chinese"),
    (0xf900, 0xfaff, "Chinese"),
    (0xff00, 0xffef, "Chinese"),
    (0x20000, 0x323af, "Chinese"),
];

/// Scripts whose characters join, move or run to the left; here each stands by itself, from left to right.
const NOT_SHAPED: [&str; 8] = ["Hebrew", "Arabic", "Devanagari", "Bengali", "Tamil", "Telugu", "Burmese", "Khmer"];

/// What a character belongs to: a script with a name, or a block of 256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Script {
    Named(&'static str),
    Block(u32),
}

fn script_of(c: char) -> Script {
    let code = u32::from(c);
    let named = SCRIPTS.iter().find(|(first, last, _)| (*first..=*last).contains(&code));
    named.map_or(Script::Block(code >> 8), |(.., name)| Script::Named(name))
}

/// Whether what a character looks like is a matter of private agreement: no font is the right one for it.
fn is_private(c: char) -> bool {
    matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..)
}

/// How the search for a script stands.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    times: u8,
    waits: bool,
    told: bool,
}

/// A font that was found.
struct Found {
    name: String,
    data: Vec<u8>,
    index: u32,
}

struct Worker {
    ask: Sender<(Script, char)>,
    found: Receiver<(Script, Option<Found>)>,
}

/// The fonts of one context.
pub struct Fonts {
    worker: Option<Worker>,
    waker: Option<Arc<Waker>>,
    asked: BTreeMap<Script, Asked>,
    /// Characters that are shown, or never will be.
    settled: HashSet<char>,
    /// Texts seen before may have to be seen again when this has changed.
    generation: u64,
    definitions: FontDefinitions,
    typed: String,
    missing: Vec<Option<&'static str>>,
    /// Of [`NOT_SHAPED`], those met so far, and how many of them were told.
    met: Vec<&'static str>,
    told: usize,
}

impl Fonts {
    /// `waker` is roused when a font was found; without one the system's fonts are left alone.
    pub fn new(waker: Option<Arc<Waker>>) -> Self {
        let definitions = FontDefinitions::default();
        Self {
            worker: None,
            waker,
            asked: BTreeMap::new(),
            settled: HashSet::new(),
            generation: 0,
            definitions,
            typed: String::new(),
            missing: Vec::new(),
            met: Vec::new(),
            told: 0,
        }
    }

    /// Sees to it that `text` can be shown, now or soon. Only while a frame is being made.
    pub fn see(&mut self, context: &Context, text: &str) {
        if self.waker.is_none() || text.is_ascii() {
            return;
        }
        for c in visible(text).chars().filter(|c| *c >= OWN && !is_private(*c)) {
            if !self.settled.contains(&c) && self.settles(context, c) {
                if self.settled.len() == SETTLED_MAX {
                    self.settled.clear();
                }
                self.settled.insert(c);
            }
        }
    }

    /// Looks after one character; whether it need not be looked at again, because it is shown or never will be.
    fn settles(&mut self, context: &Context, c: char) -> bool {
        let script = script_of(c);
        self.meet(script);
        let known = self.asked.get(&script).copied();
        if known.is_some_and(|asked| asked.waits) {
            return false;
        }
        let done = known.map_or_else(|| !self.has_room(script), |asked| asked.times >= TIMES_ASKED);
        if done || is_shown(context, c) {
            return true;
        }
        let asked = self.asked.entry(script).or_default();
        (asked.times, asked.waits) = (asked.times + 1, true);
        self.ask(script, c);
        false
    }

    /// Changes whenever an answer has come: what was seen before may need another font now.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn meet(&mut self, script: Script) {
        if let Script::Named(name) = script
            && NOT_SHAPED.contains(&name)
            && !self.met.contains(&name)
        {
            self.met.push(name);
        }
    }

    /// Scripts that cannot be shown as they are written, each once.
    pub fn not_shaped(&mut self) -> Vec<&'static str> {
        let told = std::mem::replace(&mut self.told, self.met.len());
        self.met[told..].to_vec()
    }

    fn has_room(&self, script: Script) -> bool {
        let blocks = || self.asked.keys().filter(|script| matches!(script, Script::Block(_))).count();
        matches!(script, Script::Named(_)) || blocks() < BLOCKS_ASKED
    }

    /// Notes what is typed, for [`see_typed`](Self::see_typed): while input is looked at nothing can be asked.
    pub fn typed(&mut self, text: &str) {
        self.typed.push_str(text);
    }

    /// As [`see`](Self::see), for what was typed.
    pub fn see_typed(&mut self, context: &Context) {
        let typed = std::mem::take(&mut self.typed);
        self.see(context, &typed);
    }

    fn ask(&mut self, script: Script, c: char) {
        let Some(waker) = &self.waker else { return };
        if self.worker.is_none() {
            let (ask, asked) = bounded(QUESTIONS);
            let (tell, found) = bounded(QUESTIONS);
            let waker = Arc::clone(waker);
            let search = move || search(&asked, &tell, &waker);
            if std::thread::Builder::new().name("fonts".into()).spawn(search).is_err() {
                return;
            }
            self.worker = Some(Worker { ask, found });
        }
        // There is room for every script.
        let _ = self.worker.as_ref().map(|worker| worker.ask.try_send((script, c)));
    }

    /// Takes over what was found; whether there is anything new.
    pub fn take(&mut self, context: &Context) -> bool {
        let Some(answers) = self.worker.as_ref().map(|worker| worker.found.clone()) else { return false };
        let (mut news, mut any) = (false, false);
        while let Ok(answer) = answers.try_recv() {
            any = true;
            news |= self.keep(answer);
        }
        if news {
            self.install(context);
        }
        self.generation += u64::from(any);
        any
    }

    /// Lets a context write with all fonts there are.
    pub fn install(&self, context: &Context) {
        context.set_fonts(self.definitions.clone());
    }

    /// Takes over one answer; whether there is a font that was not there before.
    fn keep(&mut self, (script, found): (Script, Option<Found>)) -> bool {
        let asked = self.asked.entry(script).or_default();
        asked.waits = false;
        let Some(Found { name, data, index }) = found else {
            asked.times = TIMES_ASKED;
            self.lacks(script);
            return false;
        };
        if self.definitions.font_data.contains_key(&name) {
            return false;
        }
        let data = FontData { index, ..FontData::from_owned(data) };
        self.definitions.font_data.insert(name.clone(), Arc::new(data));
        for family in [FontFamily::Proportional, FontFamily::Monospace] {
            self.definitions.families.entry(family).or_default().push(name.clone());
        }
        true
    }

    /// Notes that there is no font for a script; each name is told once, and once that there are some without a name.
    fn lacks(&mut self, script: Script) {
        let name = |script: Script| match script {
            Script::Named(name) => Some(name),
            Script::Block(_) => None,
        };
        let told = self.asked.iter().any(|(other, asked)| asked.told && name(*other) == name(script));
        if !told {
            self.asked.entry(script).or_default().told = true;
            self.missing.push(name(script));
        }
    }

    /// Scripts no font was found for since this was asked last; `None` stands for one without a name.
    pub fn missing(&mut self) -> Vec<Option<&'static str>> {
        std::mem::take(&mut self.missing)
    }
}

/// Whether the fonts at hand can show a character.
pub fn is_shown(context: &Context, c: char) -> bool {
    context.fonts_mut(|fonts| fonts.has_glyph(&FontId::proportional(14.0), c))
}

fn search(asked: &Receiver<(Script, char)>, tell: &Sender<(Script, Option<Found>)>, waker: &Waker) {
    let mut database = fontdb::Database::new();
    database.load_system_fonts();
    while let Ok((script, c)) = asked.recv() {
        let found = best(&database, script, c);
        tracing::debug!(?script, found = found.as_ref().map(|f| f.name.as_str()), "looked for a font");
        if tell.send((script, found)).is_err() {
            return;
        }
        waker.wake();
    }
}

/// How plain a face is, and how much its family is made for the script: less is better.
fn oddness(face: &fontdb::FaceInfo, script: Script) -> u32 {
    let family = face.families.first().map_or("", |(name, _)| name.as_str());
    let has = |words: &[&str]| words.iter().any(|word| family.contains(word));
    let mut odd = u32::from(face.weight.0.abs_diff(400)) / 100 * 4;
    odd += if face.style == fontdb::Style::Normal { 0 } else { 40 };
    odd += if has(&["Serif", "Song", "Ming", "Kai"]) { 8 } else { 0 };
    odd += if face.monospaced || has(&["Mono", "Condensed"]) { 6 } else { 0 };
    let wanted: &[&str] = match script {
        Script::Named("Japanese") => &["JP"],
        Script::Named("Korean") => &["KR"],
        Script::Named("Chinese") => &["SC", "CJK SC", "YaHei", "PingFang SC"],
        _ => &["Sans"],
    };
    odd + if has(wanted) { 0 } else { 2 }
}

fn best(database: &fontdb::Database, script: Script, c: char) -> Option<Found> {
    let mut faces: Vec<&fontdb::FaceInfo> = database.faces().collect();
    faces.sort_by_key(|face| oddness(face, script));
    faces.into_iter().find_map(|face| {
        database.with_face_data(face.id, |data, index| {
            let font = skrifa::FontRef::from_index(data, index).ok()?;
            // A font of bitmaps alone has nothing that could be drawn here.
            let glyph = font.charmap().map(c).filter(|glyph| font.outline_glyphs().get(*glyph).is_some());
            glyph.map(|_| Found { name: format!("{}#{index}", face.post_script_name), data: data.to_vec(), index })
        })?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_belong_to_scripts() {
        for (c, script) in [
            ('漢', Script::Named("Chinese")),
            ('の', Script::Named("Japanese")),
            ('한', Script::Named("Korean")),
            ('ש', Script::Named("Hebrew")),
            ('ᚠ', Script::Block(0x16)),
        ] {
            assert_eq!(script_of(c), script, "{c}");
        }
    }

    #[test]
    fn a_script_that_is_not_joined_is_told_once() {
        let context = Context::default();
        let mut fonts = Fonts::new(Some(Arc::default()));
        let _ = context.run_ui(Default::default(), |_| {
            fonts.see(&context, "שלום नमस्ते привет 漢字 שלום");
        });
        assert_eq!(fonts.not_shaped(), ["Hebrew", "Devanagari"]);
        assert!(fonts.not_shaped().is_empty());
        let named = |name: &&str| SCRIPTS.iter().any(|(.., known)| known == name);
        assert!(NOT_SHAPED.iter().all(named));
    }

    #[test]
    fn an_odd_line_keeps_nobody_from_their_script() {
        let mut fonts = Fonts::new(Some(Arc::default()));
        for block in 0..BLOCKS_ASKED as u32 {
            fonts.asked.insert(Script::Block(block), Asked::default());
        }
        assert!(!fonts.has_room(Script::Block(0x77)) && fonts.has_room(Script::Named("Chinese")));
        assert!(fonts.asked.len() + SCRIPTS.len() <= QUESTIONS);
    }

    #[test]
    fn each_script_is_asked_for_once_and_what_nobody_has_is_told() {
        let context = Context::default();
        let mut fonts = Fonts::new(Some(Arc::default()));
        let _ = context.run_ui(Default::default(), |_| {
            fonts.see(&context, "plain Ελληνικά Кириллица");
            assert!(fonts.asked.is_empty());
            fonts.see(&context, "private \u{10_fff0}\u{e000}, hidden \u{fe0f}, skin \u{1f3fb}");
            assert!(fonts.asked.is_empty());
            // Not a character at all: no font of any system has it.
            fonts.see(&context, "\u{e_fffe}\u{e_ffff}");
            fonts.see(&context, "\u{e_fffe}");
        });
        assert_eq!(fonts.asked.len(), 1);
        let answers = fonts.worker.as_ref().expect("it searches").found.clone();
        let answer = answers.recv_timeout(std::time::Duration::from_secs(60)).expect("an answer");
        assert!(!fonts.keep(answer));
        assert_eq!(fonts.missing(), [None]);
        fonts.lacks(Script::Block(0x0eee));
        fonts.lacks(Script::Named("Lao"));
        assert_eq!(fonts.missing(), [Some("Lao")], "each once");
        let mut none = Fonts::new(None);
        let _ = context.run_ui(Default::default(), |_| none.see(&context, "漢"));
        assert!(none.worker.is_none());
    }
}
