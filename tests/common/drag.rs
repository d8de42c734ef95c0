//! A file manager's side of XDND: drags files onto the window that takes them, and lets go.

use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ClientMessageEvent, ConnectionExt, CreateWindowAux, EventMask, PropMode, SELECTION_NOTIFY_EVENT,
    SelectionNotifyEvent, SelectionRequestEvent, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

x11rb::atom_manager! {
    Atoms: AtomsCookie {
        XdndAware, XdndProxy, XdndEnter, XdndPosition, XdndStatus, XdndLeave, XdndDrop, XdndFinished, XdndSelection,
        XdndActionCopy,
        URI_LIST: b"text/uri-list",
        PLAIN: b"text/plain",
    }
}

/// One that drags.
pub struct FileManager {
    connection: RustConnection,
    atoms: Atoms,
    own: Window,
    root: Window,
}

impl FileManager {
    /// On this display.
    pub fn on(display: &str) -> Self {
        let (connection, screen) = x11rb::connect(Some(display)).expect("the display");
        let atoms = Atoms::new(&connection).unwrap().reply().unwrap();
        let (own, root) = (connection.generate_id().unwrap(), connection.setup().roots[screen].root);
        let (depth, class, aux) = (COPY_DEPTH_FROM_PARENT, WindowClass::INPUT_OUTPUT, CreateWindowAux::new());
        connection.create_window(depth, own, root, 0, 0, 1, 1, 0, class, 0, &aux).unwrap().check().unwrap();
        connection.set_selection_owner(own, atoms.XdndSelection, x11rb::CURRENT_TIME).unwrap().check().unwrap();
        Self { connection, atoms, own, root }
    }

    fn property(&self, window: Window, name: u32, kind: AtomEnum) -> Option<u32> {
        let reply = self.connection.get_property(false, window, name, kind, 0, 1).ok()?.reply().ok()?;
        reply.value32()?.next()
    }

    /// The window that takes what is dropped, and where messages for it go.
    fn target(&self, below: Window) -> Option<(Window, Window)> {
        let children = self.connection.query_tree(below).ok()?.reply().ok()?.children;
        children.into_iter().find_map(|window| {
            let aware = self.property(window, self.atoms.XdndAware, AtomEnum::ATOM);
            let proxy = self.property(window, self.atoms.XdndProxy, AtomEnum::WINDOW).filter(|proxy| *proxy != window);
            match (aware, proxy) {
                (Some(_), Some(proxy)) => {
                    assert_eq!(self.property(proxy, self.atoms.XdndProxy, AtomEnum::WINDOW), Some(proxy));
                    assert_eq!(self.property(proxy, self.atoms.XdndAware, AtomEnum::ATOM), Some(5));
                    Some((window, proxy))
                }
                _ => self.target(window),
            }
        })
    }

    fn send(&self, (window, proxy): (Window, Window), kind: u32, data: [u32; 4]) {
        let data = [self.own, data[0], data[1], data[2], data[3]];
        let message = ClientMessageEvent::new(32, window, kind, data);
        self.connection.send_event(false, proxy, EventMask::NO_EVENT, message).unwrap();
        self.connection.flush().unwrap();
    }

    /// Waits for this message and gives what it says after the window; hands out `list` meanwhile.
    fn answer(&self, kind: u32, list: &str) -> [u32; 5] {
        loop {
            match self.connection.wait_for_event().expect("an event") {
                Event::ClientMessage(message) if message.type_ == kind => return message.data.as_data32(),
                Event::SelectionRequest(request) => self.hand_out(&request, list),
                _ => {}
            }
        }
    }

    fn hand_out(&self, request: &SelectionRequestEvent, list: &str) {
        assert_eq!(request.target, self.atoms.URI_LIST);
        let (window, property) = (request.requestor, request.property);
        self.connection.change_property8(PropMode::REPLACE, window, property, request.target, list.as_bytes()).unwrap();
        let answer = SelectionNotifyEvent {
            response_type: SELECTION_NOTIFY_EVENT,
            sequence: 0,
            time: request.time,
            requestor: window,
            selection: request.selection,
            target: request.target,
            property,
        };
        self.connection.send_event(false, window, EventMask::NO_EVENT, answer).unwrap();
        self.connection.flush().unwrap();
    }

    /// Drags a list of addresses there and lets go; whether it was taken.
    pub fn drops(&self, list: &str) -> bool {
        let target = self.target(self.root).expect("a window that takes files");
        self.send(target, self.atoms.XdndEnter, [5 << 24, self.atoms.PLAIN, self.atoms.URI_LIST, 0]);
        self.send(
            target,
            self.atoms.XdndPosition,
            [0, 100 << 16 | 100, x11rb::CURRENT_TIME, self.atoms.XdndActionCopy],
        );
        let status = self.answer(self.atoms.XdndStatus, list);
        assert_eq!((status[0], status[1] & 1, status[4]), (target.0, 1, self.atoms.XdndActionCopy));
        self.send(target, self.atoms.XdndDrop, [0, x11rb::CURRENT_TIME, 0, 0]);
        self.answer(self.atoms.XdndFinished, list)[1] & 1 == 1
    }

    /// Drags a text there, which is not wanted, and goes away again.
    pub fn is_refused(&self) -> bool {
        let target = self.target(self.root).expect("a window that takes files");
        self.send(target, self.atoms.XdndEnter, [5 << 24, self.atoms.PLAIN, 0, 0]);
        self.send(target, self.atoms.XdndPosition, [0, 0, x11rb::CURRENT_TIME, self.atoms.XdndActionCopy]);
        let status = self.answer(self.atoms.XdndStatus, "");
        self.send(target, self.atoms.XdndLeave, [0; 4]);
        status[1] & 1 == 0
    }
}
