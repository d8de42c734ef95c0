use super::*;
use crate::limits::{OBJECT_AUDIENCE_MAX, OBJECT_CHOSEN_MAX};
use crate::wire::message::ParticipantId;
use crate::wire::object::{Offer, Packet};

fn offer() -> Offer {
    Offer {
        object: vec![3; 16],
        name: "plan.pdf".into(),
        size: 5,
        manifest: vec![3; 32],
        manifest_bytes: 90,
        sid: 77,
        key: vec![8; 32],
        ..Offer::default()
    }
}

#[test]
fn a_file_to_some_is_offered_to_each_of_them_and_to_nobody_else() {
    let people = 2 + OBJECT_AUDIENCE_MAX as u8 + 3;
    let mut lan = Lan::of(people);
    let last = usize::from(people) - 1;
    let chosen: Vec<ParticipantId> = (1..last).map(|n| lan.session(n).identity.id()).collect();
    assert!((OBJECT_AUDIENCE_MAX..OBJECT_CHOSEN_MAX).contains(&chosen.len()));
    let ms = lan.ms;
    let told = lan.events.len();
    lan.act(0, |s, out| s.say_of_object(moment(ms), Packet::Offer(offer()), &chosen, out));
    let heard = lan.events[told..].iter().filter_map(|(to, event)| match event {
        Event::Object(_, Packet::Offer(offer)) => Some((*to, offer.name.clone(), offer.key.clone())),
        _ => None,
    });
    let mut heard: Vec<(SocketAddr, String, Vec<u8>)> = heard.collect();
    heard.sort();
    let expected: Vec<_> = (2..people).map(|n| (address(n), "plan.pdf".to_owned(), vec![8; 32])).collect();
    assert_eq!(heard, expected);
}
