//! Files that are dragged onto the window and let go of there: XDND, version 5, on X11.
//!
//! ```text
//! the file manager                        this                              the window's loop
//!   XdndProxy of minifb's window? ------> a window of this connection
//!   XdndEnter, XdndPosition ------------> XdndStatus: copies of files ----> Over
//!   XdndLeave ------------------------------------------------------------> Away
//!   XdndDrop ---------------------------> text/uri-list, XdndFinished ----> Here(paths)
//! ```
//! The window belongs to minifb's connection, which throws such messages away; so it names another one as its proxy, as the
//! protocol allows (freedesktop.org, "Drag-and-Drop Protocol for the X Window System").

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Files taken from one drop, at most.
const FILES_MAX: usize = 32;

/// What is dragged over the window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dragged {
    /// Files are above it.
    Over,
    /// They are not any more.
    Away,
    /// They were let go of.
    Here(Vec<PathBuf>),
}

/// The files of a `text/uri-list` (RFC 2483, section 5) that are on this machine (RFC 8089).
fn files(list: &[u8]) -> Vec<PathBuf> {
    let Ok(list) = std::str::from_utf8(list) else { return Vec::new() };
    let lines = list.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(file).take(FILES_MAX).collect()
}

fn file(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file:")?;
    // An authority is this machine, whatever name it has: no file manager offers others' files so.
    let path = match rest.strip_prefix("//") {
        Some(rest) => &rest[rest.find('/')?..],
        None => rest,
    };
    let path = percent_decode_str(path).decode_utf8().ok()?;
    (path.starts_with('/') && !path.contains('\0')).then(|| PathBuf::from(&*path))
}

#[cfg(target_os = "linux")]
pub use x11::Drops;

#[cfg(target_os = "linux")]
mod x11 {
    use std::sync::Arc;

    use crossbeam_channel::{Receiver, Sender, bounded};
    use raw_window_handle::{HasWindowHandle, RawWindowHandle};
    use x11rb::COPY_DEPTH_FROM_PARENT;
    use x11rb::connection::Connection;
    use x11rb::errors::ReplyOrIdError;
    use x11rb::protocol::Event;
    use x11rb::protocol::xproto::{
        Atom, AtomEnum, ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, PropMode, SelectionNotifyEvent,
        Window, WindowClass,
    };
    use x11rb::rust_connection::RustConnection;
    use x11rb::wrapper::ConnectionExt as _;

    use super::{Dragged, files};
    use crate::pipeline::slot::Waker;

    /// The version of the protocol.
    const VERSION: u32 = 5;
    /// Longest list of files that is read, in units of four bytes: 256 KiB.
    const LIST_UNITS_MAX: u32 = 65_536;
    /// Types of data that are looked through.
    const TYPES_MAX: u32 = 256;
    /// Told and not heard yet.
    const WAITING: usize = 16;

    x11rb::atom_manager! {
        /// Names of the protocol.
        Atoms: AtomsCookie {
            XdndAware,
            XdndProxy,
            XdndEnter,
            XdndPosition,
            XdndStatus,
            XdndLeave,
            XdndDrop,
            XdndFinished,
            XdndSelection,
            XdndTypeList,
            XdndActionCopy,
            URI_LIST: b"text/uri-list",
            ROUNDTABLE_DROPPED,
            ROUNDTABLE_ENDS,
        }
    }

    /// What is dropped on a window, as long as this lives.
    pub struct Drops {
        told: Receiver<Dragged>,
        connection: Arc<RustConnection>,
        proxy: Window,
        ends: Atom,
        thread: Option<std::thread::JoinHandle<()>>,
    }

    impl Drops {
        /// Takes what is dropped on `window`; `waker` is roused then. `None` where that is not possible: on Wayland.
        pub fn of(window: &impl HasWindowHandle, waker: Arc<Waker>) -> Option<Self> {
            let RawWindowHandle::Xlib(handle) = window.window_handle().ok()?.as_raw() else { return None };
            let drops = Self::open(u32::try_from(handle.window).ok()?, waker);
            drops.inspect_err(|error| tracing::debug!(%error, "nothing can be dropped on the window")).ok()
        }

        fn open(window: Window, waker: Arc<Waker>) -> Result<Self, ReplyOrIdError> {
            let (connection, screen) =
                x11rb::connect(None).map_err(|_| x11rb::errors::ConnectionError::UnknownError)?;
            let atoms = Atoms::new(&connection)?.reply()?;
            let proxy = connection.generate_id()?;
            let root = connection.setup().roots[screen].root;
            let (depth, class, aux) = (COPY_DEPTH_FROM_PARENT, WindowClass::INPUT_ONLY, CreateWindowAux::new());
            connection
                .create_window(depth, proxy, root, -1, -1, 1, 1, 0, class, x11rb::COPY_FROM_PARENT, &aux)?
                .check()?;
            for one in [proxy, window] {
                let replaces = PropMode::REPLACE;
                connection.change_property32(replaces, one, atoms.XdndProxy, AtomEnum::WINDOW, &[proxy])?.check()?;
                connection.change_property32(replaces, one, atoms.XdndAware, AtomEnum::ATOM, &[VERSION])?.check()?;
            }
            let connection = Arc::new(connection);
            let (tell, told) = bounded(WAITING);
            let target = Target { connection: Arc::clone(&connection), atoms, proxy, offer: None, tell, waker };
            let thread = std::thread::Builder::new().name("drop".into()).spawn(move || target.work()).ok();
            Ok(Self { told, connection, proxy, ends: atoms.ROUNDTABLE_ENDS, thread })
        }

        /// What happened, once.
        pub fn next(&self) -> Option<Dragged> {
            self.told.try_recv().ok()
        }
    }

    impl Drop for Drops {
        fn drop(&mut self) {
            let end = ClientMessageEvent::new(32, self.proxy, self.ends, [0; 5]);
            let sent = self.connection.send_event(false, self.proxy, EventMask::NO_EVENT, end).is_ok();
            if sent && self.connection.flush().is_ok() {
                let _ = self.thread.take().map(std::thread::JoinHandle::join);
            }
        }
    }

    /// What is dragged, and by whom.
    struct Offer {
        source: Window,
        /// The window it is dragged over, as its source knows it.
        window: Window,
        has_files: bool,
    }

    struct Target {
        connection: Arc<RustConnection>,
        atoms: Atoms,
        proxy: Window,
        offer: Option<Offer>,
        tell: Sender<Dragged>,
        waker: Arc<Waker>,
    }

    impl Target {
        fn work(mut self) {
            while let Ok(event) = self.connection.wait_for_event() {
                let done = match event {
                    Event::ClientMessage(message) if message.type_ == self.atoms.ROUNDTABLE_ENDS => return,
                    Event::ClientMessage(message) if message.format == 32 => self.message(&message),
                    Event::SelectionNotify(answer) => self.selected(&answer),
                    _ => Ok(()),
                };
                if let Err(error) = done.and_then(|()| Ok(self.connection.flush()?)) {
                    // The other program may be gone.
                    tracing::debug!(%error, "a drag came to nothing");
                }
            }
        }

        fn message(&mut self, message: &ClientMessageEvent) -> Result<(), ReplyOrIdError> {
            let data = message.data.as_data32();
            let (atoms, kind) = (self.atoms, message.type_);
            if kind == atoms.XdndEnter {
                let more = data[1] & 1 != 0;
                let has_files = if more { self.lists_files(data[0])? } else { data[2..].contains(&atoms.URI_LIST) };
                self.offer = Some(Offer { source: data[0], window: message.window, has_files });
            } else if kind == atoms.XdndPosition {
                self.status()?;
            } else if kind == atoms.XdndLeave {
                self.offer = None;
                self.tell(Dragged::Away);
            } else if kind == atoms.XdndDrop {
                let Some(offer) = &self.offer else { return Ok(()) };
                if !offer.has_files {
                    return self.finished(false);
                }
                let (selection, property) = (atoms.XdndSelection, atoms.ROUNDTABLE_DROPPED);
                self.connection.convert_selection(self.proxy, selection, atoms.URI_LIST, property, data[2])?;
            }
            Ok(())
        }

        /// Whether files are among more than three types of data.
        fn lists_files(&self, source: Window) -> Result<bool, ReplyOrIdError> {
            let list =
                self.connection.get_property(false, source, self.atoms.XdndTypeList, AtomEnum::ATOM, 0, TYPES_MAX)?;
            Ok(list.reply()?.value32().is_some_and(|mut types| types.any(|kind| kind == self.atoms.URI_LIST)))
        }

        /// Says that files may be dropped here, wherever on the window.
        fn status(&mut self) -> Result<(), ReplyOrIdError> {
            let Some(offer) = &self.offer else { return Ok(()) };
            let (takes, action) = if offer.has_files { (1, self.atoms.XdndActionCopy) } else { (0, 0) };
            let data = [offer.window, takes, 0, 0, action];
            let status = ClientMessageEvent::new(32, offer.source, self.atoms.XdndStatus, data);
            self.connection.send_event(false, offer.source, EventMask::NO_EVENT, status)?;
            if offer.has_files {
                self.tell(Dragged::Over);
            }
            Ok(())
        }

        fn finished(&mut self, taken: bool) -> Result<(), ReplyOrIdError> {
            let Some(offer) = self.offer.take() else { return Ok(()) };
            let action = if taken { self.atoms.XdndActionCopy } else { 0 };
            let data = [offer.window, u32::from(taken), action, 0, 0];
            let finished = ClientMessageEvent::new(32, offer.source, self.atoms.XdndFinished, data);
            self.connection.send_event(false, offer.source, EventMask::NO_EVENT, finished)?;
            if !taken {
                self.tell(Dragged::Away);
            }
            Ok(())
        }

        fn selected(&mut self, answer: &SelectionNotifyEvent) -> Result<(), ReplyOrIdError> {
            if answer.property != self.atoms.ROUNDTABLE_DROPPED {
                return self.finished(false);
            }
            let got =
                self.connection.get_property(true, self.proxy, answer.property, AtomEnum::ANY, 0, LIST_UNITS_MAX)?;
            let list = got.reply()?;
            let paths = if list.type_ == self.atoms.URI_LIST { files(&list.value) } else { Vec::new() };
            self.finished(!paths.is_empty())?;
            if !paths.is_empty() {
                self.tell(Dragged::Here(paths));
            }
            Ok(())
        }

        fn tell(&self, dragged: Dragged) {
            // Where files are is told again with the next movement; what was let go of must find room.
            if dragged != Dragged::Over || self.tell.len() < WAITING / 2 {
                let _ = self.tell.try_send(dragged);
                self.waker.wake();
            }
        }
    }
}

/// Nothing can be dropped elsewhere: minifb does not tell of it.
#[cfg(not(target_os = "linux"))]
pub struct Drops(std::convert::Infallible);

#[cfg(not(target_os = "linux"))]
impl Drops {
    /// Never possible.
    pub fn of<W>(_: &W, _: std::sync::Arc<crate::pipeline::slot::Waker>) -> Option<Self> {
        None
    }

    /// What happened, once.
    pub fn next(&self) -> Option<Dragged> {
        match self.0 {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_addresses_gives_the_files_that_are_here() {
        let list = b"# made by hand\r\nfile:///home/ada/a%20b.txt\r\nfile://desk/tmp/%E6%BC%A2\r\nfile:/plain\r\n\
            https://example.org/x\r\nfile:relative\r\nfile://host\r\nfile:///bad%FF\r\nfile:///nul%00\r\n\r\n";
        let expected: Vec<PathBuf> = ["/home/ada/a b.txt", "/tmp/漢", "/plain"].iter().map(PathBuf::from).collect();
        assert_eq!(files(list), expected);
        assert_eq!(files(b"\xff\xfe"), Vec::<PathBuf>::new());
        let many: String = (0..100).map(|n| format!("file:///{n}\n")).collect();
        assert_eq!(files(many.as_bytes()).len(), FILES_MAX);
    }
}
