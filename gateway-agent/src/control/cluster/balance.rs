//! Balance: which of several candidates a connection gets. Every rule honours the shares.

use std::net::{IpAddr, SocketAddr};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::members::Members;

/// How endpoints are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn; exact over each cycle of the weights, and evenly mixed within it.
    #[default]
    RoundRobin,
    /// The fewest active connections for its weight; equals take turns. With more than 64
    /// candidates, the better of two drawn at random; where the number of choices is told, the
    /// best of so many drawn by weight.
    LeastConnections,
    /// At random.
    Random,
    /// By the client's address: one client keeps its endpoint while that is usable, and a change
    /// of the endpoints moves only the clients it must (rendezvous hashing).
    SourceHash,
}

impl Balance {
    /// The word of configuration and tables.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
            Self::Random => "random",
            Self::SourceHash => "source_hash",
        }
    }
}

/// Up to so many candidates, `least_connections` looks at all; that costs less than a dial by
/// far. Above, two drawn at random come close enough (Mitzenmacher, "The power of two choices").
const FULL_SCAN: usize = 64;

/// Chooses from `pool`, which holds at least one valid index of `members`.
pub(super) fn choose(
    (balance, choices): (Balance, Option<u32>),
    members: &mut Members,
    pool: &[usize],
    source: IpAddr,
) -> usize {
    match balance {
        Balance::RoundRobin => next_turn(members, pool),
        Balance::LeastConnections => least(choices, members, pool),
        Balance::Random => drawn(members, pool),
        Balance::SourceHash => rendezvous(members, pool, source),
    }
}

fn least(choices: Option<u32>, members: &mut Members, pool: &[usize]) -> usize {
    let choices = choices.map(|choices| usize::try_from(choices).unwrap_or(usize::MAX).max(1));
    match choices {
        None if pool.len() > FULL_SCAN => better_of_two(members, pool),
        Some(choices) if choices < pool.len().min(FULL_SCAN) => best_of(choices, members, pool),
        _ => {
            let idlest = idlest(members, pool);
            next_turn(members, &idlest)
        }
    }
}

/// The least busy of so many different ones, fewer than there are, drawn by weight; of equals the
/// first drawn, so that idle endpoints are used by weight.
fn best_of(choices: usize, members: &Members, pool: &[usize]) -> usize {
    let mut left = pool.to_vec();
    let mut draw = || {
        let at = drawn(members, &left);
        left.retain(|&other| other != at);
        at
    };
    let first = draw();
    (1..choices).fold(first, |best, _| {
        let next = draw();
        if load_order(members, next, best).is_lt() {
            next
        } else {
            best
        }
    })
}

/// Smooth weighted round robin, as nginx does it: each candidate earns its share, the richest is
/// chosen and pays what all have earned. Credits add up to zero and stay bounded.
fn next_turn(members: &mut Members, pool: &[usize]) -> usize {
    let mut earned = 0;
    let mut richest = pool[0];
    for &at in pool {
        let share = i64::from(members.list[at].share);
        earned += share;
        members.credit[at] += share;
        if members.credit[at] > members.credit[richest] {
            richest = at;
        }
    }
    members.credit[richest] -= earned;
    richest
}

/// The candidates with the fewest active connections for their share.
fn idlest(members: &Members, pool: &[usize]) -> Vec<usize> {
    let mut idlest: Vec<usize> = Vec::new();
    for &at in pool {
        let order = idlest.first().map(|&best| load_order(members, at, best));
        match order {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => idlest.push(at),
            Some(std::cmp::Ordering::Less) | None => {
                idlest.clear();
                idlest.push(at);
            }
        }
    }
    idlest
}

fn better_of_two(members: &Members, pool: &[usize]) -> usize {
    let first = fastrand::usize(..pool.len());
    // Any other than the first.
    let second = (first + 1 + fastrand::usize(..pool.len() - 1)) % pool.len();
    let (first, second) = (pool[first], pool[second]);
    if load_order(members, second, first).is_lt() {
        second
    } else {
        first
    }
}

/// Compares active connections per share, without division.
fn load_order(members: &Members, a: usize, b: usize) -> std::cmp::Ordering {
    let (a, b) = (&members.list[a], &members.list[b]);
    let load =
        |x: &super::Endpoint, y: &super::Endpoint| u64::from(x.active()) * u64::from(y.share);
    load(a, b).cmp(&load(b, a))
}

fn drawn(members: &Members, pool: &[usize]) -> usize {
    let total: u64 = pool
        .iter()
        .map(|&at| u64::from(members.list[at].share))
        .sum();
    let mut ticket = fastrand::u64(..total.max(1));
    for &at in pool {
        let share = u64::from(members.list[at].share);
        if ticket < share {
            return at;
        }
        ticket -= share;
    }
    pool[0]
}

/// Weighted rendezvous hashing: each candidate gets a score from client, address and share; the
/// highest wins. A candidate's score does not depend on the others.
fn rendezvous(members: &Members, pool: &[usize], source: IpAddr) -> usize {
    let seed = match source.to_canonical() {
        IpAddr::V4(v4) => xxh3_64(&v4.octets()),
        IpAddr::V6(v6) => xxh3_64(&v6.octets()),
    };
    let mut best = (pool[0], f64::NEG_INFINITY);
    for &at in pool {
        let endpoint = &members.list[at];
        let score = f64::from(endpoint.share) / -uniform(hash(seed, endpoint.address)).ln();
        if score > best.1 {
            best = (at, score);
        }
    }
    best.0
}

fn hash(seed: u64, address: SocketAddr) -> u64 {
    let mut hasher = Xxh3::with_seed(seed);
    match address.ip() {
        IpAddr::V4(v4) => hasher.update(&v4.octets()),
        IpAddr::V6(v6) => hasher.update(&v6.octets()),
    }
    hasher.update(&address.port().to_be_bytes());
    hasher.digest()
}

/// Maps a hash into the open interval from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a f64 exactly")]
fn uniform(hash: u64) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    ((hash >> 11) as f64 + 0.5) / STEPS
}
