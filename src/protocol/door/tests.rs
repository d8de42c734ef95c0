use super::*;
use crate::protocol::keys::conference_id;

const RANDOM: [u8; 16] = [7; 16];
const OWNER: u8 = 1;
const MODERATOR: u8 = 2;
const OTHER_MODERATOR: u8 = 3;
const MEMBER: u8 = 4;

fn person(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

fn id(n: u8) -> ParticipantId {
    person(n).id()
}

/// A door with an owner, two moderators and members.
fn door() -> Door {
    let conference = conference_id(person(OWNER).public(), &RANDOM);
    let mut door = Door::new(conference);
    let chain = Chain::founded(person(OWNER).public(), RANDOM);
    let moderators = [id(MODERATOR), id(OTHER_MODERATOR)];
    door.set_chain(chain.with(&person(OWNER), conference, 0, id(OWNER), &moderators).unwrap());
    door
}

#[test]
fn who_may_put_out_whom() {
    let rows = [
        (OWNER, MEMBER, true),
        (OWNER, MODERATOR, true),
        (OWNER, OWNER, false),
        (MODERATOR, MEMBER, true),
        (MODERATOR, OTHER_MODERATOR, false),
        (MODERATOR, OWNER, false),
        (MODERATOR, MODERATOR, false),
        (MEMBER, 5, false),
        (MEMBER, OWNER, false),
    ];
    for (by, whom, may) in rows {
        let mut door = door();
        let before = door.digest();
        let banned = door.ban(&person(by), id(whom), false);
        assert_eq!(banned.is_ok(), may, "{by} puts out {whom}: {banned:?}");
        assert_eq!(door.banned_by(&id(whom)), may.then(|| id(by)), "{by} puts out {whom}");
        assert_eq!(door.digest() != before, may);
    }
}

#[test]
fn who_may_lock_and_open() {
    for (by, may) in [(OWNER, true), (MODERATOR, true), (MEMBER, false)] {
        for commitment in [None, Some([1; 16])] {
            let mut door = door();
            assert_eq!(door.decide(&person(by), 0, commitment).is_ok(), may, "{by} {commitment:?}");
            assert_eq!(door.is_locked(), may && commitment.is_some());
        }
    }
}

#[test]
fn a_forged_statement_changes_nothing() {
    let mut teller = door();
    let ban = teller.ban(&person(OWNER), id(MEMBER), false).unwrap();
    teller.decide(&person(OWNER), 0, Some([1; 16])).unwrap();
    let turn = teller.turn().unwrap().signed().clone();
    for change in [
        |s: &mut Signed| s.signature[5] ^= 1,
        |s: &mut Signed| s.counter += 1,
        |s: &mut Signed| s.signer = person(MEMBER).public().to_vec(),
        |s: &mut Signed| s.signature.truncate(63),
    ] {
        let (mut bad_ban, mut bad_turn) = (ban.clone(), turn.clone());
        change(&mut bad_ban);
        change(&mut bad_turn);
        let mut hearer = door();
        let before = hearer.digest();
        assert!(hearer.offer_ban(&bad_ban).is_err() && hearer.offer_turn(&bad_turn).is_err());
        assert_eq!(hearer.digest(), before);
    }
    // Said in another conference.
    let mut elsewhere = Door::new(ConferenceId([9; 16]));
    assert!(elsewhere.offer_ban(&ban).is_err() && elsewhere.offer_turn(&turn).is_err());
}

#[test]
fn an_old_statement_said_again_changes_nothing() {
    let mut door = door();
    let ban = door.ban(&person(OWNER), id(MEMBER), false).unwrap();
    door.decide(&person(OWNER), 0, Some([1; 16])).unwrap();
    let turn = door.turn().unwrap().signed().clone();
    door.ban(&person(MODERATOR), id(MEMBER), true).unwrap();
    door.decide(&person(MODERATOR), 0, None).unwrap();
    let before = door.digest();
    assert_eq!(door.offer_ban(&ban), Err(Refusal::Stale));
    assert_eq!(door.offer_turn(&turn), Err(Refusal::Stale));
    assert_eq!((door.digest(), door.banned_by(&id(MEMBER)), door.is_locked()), (before, None, false));
}

#[test]
fn doors_that_know_the_same_are_the_same_in_whatever_order_it_came() {
    let (mut ada, mut bob) = (door(), door());
    let one = ada.ban(&person(MODERATOR), id(MEMBER), false).unwrap();
    ada.decide(&person(MODERATOR), 0, Some([5; 16])).unwrap();
    let two = bob.ban(&person(OTHER_MODERATOR), id(5), false).unwrap();
    bob.decide(&person(OTHER_MODERATOR), 0, Some([4; 16])).unwrap();
    let (first, second) = (ada.turn().unwrap().signed().clone(), bob.turn().unwrap().signed().clone());
    ada.offer_ban(&two).unwrap();
    assert_eq!(ada.offer_turn(&second), Ok(true), "the lower commitment counts");
    bob.offer_ban(&one).unwrap();
    assert_eq!(bob.offer_turn(&first), Err(Refusal::Stale));
    assert_eq!(ada.digest(), bob.digest());
    assert_eq!(ada.unturned(), Some(id(MODERATOR)), "the epoch that holds does not shut out both");
    ada.decide(&person(MODERATOR), 0, Some([9; 16])).unwrap();
    assert_eq!((ada.turn().unwrap().epoch, ada.unturned()), (2, None));
}

#[test]
fn bans_end_with_the_right_of_whom_they_are_by() {
    let mut door = door();
    door.ban(&person(MODERATOR), id(MEMBER), false).unwrap();
    door.ban(&person(OWNER), id(5), false).unwrap();
    let conference = door.conference;
    let chain = door.chain().with(&person(OWNER), conference, 0, id(OWNER), &[]).unwrap();
    door.set_chain(chain);
    assert_eq!(door.banned().collect::<Vec<_>>(), [(id(5), id(OWNER))]);
}

#[test]
fn bans_and_epochs_are_bounded() {
    let mut door = door();
    for n in 0..REMOVED_MAX {
        let mut member = [0; 16];
        member[..2].copy_from_slice(&(n as u16).to_be_bytes());
        assert!(door.ban(&person(OWNER), ParticipantId(member), false).is_ok(), "{n}");
    }
    assert_eq!(door.ban(&person(OWNER), id(MEMBER), false), Err(Refusal::Full));
    door.decide(&person(OWNER), 0, None).unwrap();
    for (ahead, taken) in [(EPOCH_LEAP_MAX, true), (EPOCH_LEAP_MAX + 1, false)] {
        let mut far = door.clone();
        let epoch = 1 + ahead;
        let turn = Turn { epoch, ..Turn::default() };
        let signed = sign(&person(OWNER), KIND_TURN, door.conference, epoch.into(), &turn);
        assert_eq!(far.offer_turn(&signed).is_ok(), taken);
    }
}

#[test]
fn nobody_succeeds_an_owner_who_is_here() {
    let mut door = door();
    let successor = door.chain().with(&person(MODERATOR), door.conference, 0, id(MODERATOR), &[]).unwrap();
    let wire = successor.to_wire().unwrap();
    assert_eq!(door.offer_chain(&wire, |_| true), Ok(Some(successor.clone())), "not now");
    assert_eq!(door.chain().owner(), Some(id(OWNER)));
    assert_eq!(door.offer_chain(&wire, |_| false), Ok(None));
    assert_eq!(door.chain(), &successor);
}

#[test]
fn a_moderator_cannot_use_up_the_numbers_of_others() {
    let conference = door().conference;
    let takeover = |after| door().chain().with(&person(MODERATOR), conference, after, id(MODERATOR), &[]).unwrap();
    let held = door().chain().number();
    for (after, taken) in [(held + DOOR_LEAP_MAX - 1, true), (held + DOOR_LEAP_MAX, false), (u64::MAX, false)] {
        let mut hearer = door();
        let offered = hearer.offer_chain(&takeover(after).to_wire().unwrap(), |_| false);
        assert_eq!(offered.is_ok(), taken, "{after}: {offered:?}");
        // The owner takes it back with any number.
        let chain = door().chain().with(&person(OWNER), conference, hearer.chain().number(), id(OWNER), &[]).unwrap();
        assert_eq!(hearer.offer_chain(&chain.to_wire().unwrap(), |_| false), Ok(None));
        assert_eq!(hearer.chain().owner(), Some(id(OWNER)));
    }
    let ban = |number: u64| {
        let ban = door::Ban { member: id(MEMBER).0.to_vec(), lifted: false };
        sign(&person(MODERATOR), KIND_BAN, conference, number, &ban)
    };
    for (number, taken) in [(1 + DOOR_LEAP_MAX, true), (2 + DOOR_LEAP_MAX, false), (u64::MAX, false)] {
        let mut hearer = door();
        hearer.ban(&person(MODERATOR), id(MEMBER), false).unwrap();
        assert_eq!(hearer.offer_ban(&ban(number)).is_ok(), taken, "{number}");
        hearer.ban(&person(OWNER), id(MEMBER), true).unwrap();
        assert_eq!(hearer.banned_by(&id(MEMBER)), None);
    }
    // Nor by a far number about somebody else.
    let mut hearer = door();
    hearer.ban(&person(OWNER), id(MEMBER), false).unwrap();
    let far = door::Ban { member: id(9).0.to_vec(), lifted: false };
    hearer.offer_ban(&sign(&person(MODERATOR), KIND_BAN, conference, u64::MAX / 2, &far)).unwrap();
    hearer.ban(&person(OWNER), id(MEMBER), true).unwrap();
    hearer.ban(&person(OWNER), id(8), false).unwrap();
    hearer.ban(&person(OWNER), id(9), true).unwrap();
    assert_eq!(hearer.banned().map(|(who, _)| who).collect::<Vec<_>>(), [id(8)]);
    // Who knows nothing yet cannot tell, and can still be told otherwise.
    for (number, taken) in [(u64::MAX / 2, true), (u64::MAX / 2 + 1, false)] {
        let mut newcomer = door();
        assert_eq!(newcomer.offer_ban(&ban(number)).is_ok(), taken);
        newcomer.ban(&person(OWNER), id(MEMBER), true).unwrap();
    }
    for (epoch, taken) in [(u32::MAX / 2, true), (u32::MAX / 2 + 1, false)] {
        let mut newcomer = door();
        let turn = Turn { epoch, ..Turn::default() };
        let signed = sign(&person(MODERATOR), KIND_TURN, conference, epoch.into(), &turn);
        assert_eq!(newcomer.offer_turn(&signed).is_ok(), taken);
        newcomer.decide(&person(OWNER), 0, Some([1; 16])).unwrap();
        assert!(newcomer.is_locked());
    }
}
