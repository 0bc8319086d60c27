//! People who pay each other as fast as their home lets them, take or turn down what waits, leave it to an order, and
//! remember every answer.

use std::collections::HashSet;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use city_node::api::wire::{AccountPage, NodePage, SubmittedPage};
use city_node::client::person::{Order, Person, random};
use city_node::client::{ApiClient, ClientError};
use city_node::engine::utc;
use city_node::setup::load_identity;
use city_protocol::amount::Amount;
use city_protocol::client::Takes;
use city_protocol::genesis::Genesis;
use city_protocol::ids::AccountId;
use city_protocol::vertex::Receipt;
use tokio::task::JoinHandle;

use super::book::Book;
use crate::daemon::city::{City, Node, PATIENCE, log_in};
use crate::store::Dice;

/// What each has at first, in hundredths.
const GRANT: u64 = 1_000_000;
/// How many submit at the same time.
const PEOPLE: usize = 4;
/// Pause after a refusal that passes: too many requests, no place yet.
const PAUSE: Duration = Duration::from_millis(10);

/// How often a supervisor starts a node that ends by itself.
const STARTS: usize = 3;

/// One who submits.
pub(super) struct Client {
    person: Person,
    next_sequence: u64,
    receipts: Vec<SubmittedPage>,
    /// Answers that came after the end, until they are compared.
    late: Vec<SubmittedPage>,
    dice: Dice,
}

/// People of one home.
pub(super) struct People {
    clients: Vec<Client>,
    page: Arc<NodePage>,
    genesis: Arc<Genesis>,
}

/// People at work.
pub(super) struct AtWork {
    people: People,
    /// Set before the plug is pulled.
    over: Arc<AtomicBool>,
    working: Vec<JoinHandle<Client>>,
}

/// What all of them work with.
struct Home {
    api: ApiClient,
    page: Arc<NodePage>,
    genesis: Arc<Genesis>,
    accounts: Vec<AccountId>,
    over: Arc<AtomicBool>,
}

impl People {
    /// They get their accounts and something to give.
    pub(super) async fn settle(city: &City, node: &Node, dice: &mut Dice) -> Self {
        let api = city.api(node);
        let mut clients = Vec::new();
        for _ in 0..PEOPLE {
            clients.push(Client {
                person: city.rich(&api, GRANT).await,
                next_sequence: 1,
                receipts: Vec::new(),
                late: Vec::new(),
                dice: Dice::of(dice.next()),
            });
        }
        Self {
            clients,
            page: Arc::new(api.node().await.unwrap()),
            genesis: load_identity(&city.data).unwrap().genesis,
        }
    }

    /// How many answers they remember.
    pub(super) fn acknowledged(&self) -> usize {
        self.clients
            .iter()
            .map(|client| client.receipts.len())
            .sum()
    }

    /// All begin to submit, each over a connection of their own.
    pub(super) fn work(mut self, city: &City, node: &Node) -> AtWork {
        let over = Arc::new(AtomicBool::new(false));
        let clients = std::mem::take(&mut self.clients);
        let accounts: Vec<AccountId> = clients.iter().map(|c| c.person.account()).collect();
        let working = clients.into_iter().map(|client| {
            let home = Home {
                api: city.api(node),
                page: Arc::clone(&self.page),
                genesis: Arc::clone(&self.genesis),
                accounts: accounts.clone(),
                over: Arc::clone(&over),
            };
            tokio::spawn(client.work(home))
        });
        AtWork {
            working: working.collect(),
            people: self,
            over,
        }
    }

    /// The node sequences, and every answer stands in its log where the answer says; what it shows is what
    /// the log comes to. Nobody submits meanwhile. Gives whether one commit was answered after the cut, and lost.
    pub(super) async fn compare(&mut self, city: &City, node: &Node) -> bool {
        node.until("sequencing", |status| status.sequencing).await;
        let audit = node.admin().await.unwrap().audit().await.unwrap();
        let book = Book::read(&node.data.ledger(), &city.report.log);
        assert!(audit.conserved && audit.journal_matches, "{audit:#?}");
        assert_eq!(
            book.shown_after(&audit.available),
            Some(book.vertices()),
            "{audit:#?}\n{}",
            node.log()
        );
        let api = city.api(node);
        let mut overtaken = HashSet::new();
        for client in &mut self.clients {
            let lost = client.receipts.iter().find(|receipt| !book.has(receipt));
            assert!(lost.is_none(), "{lost:#?} is lost\n{}", node.log());
            for late in client.late.drain(..) {
                if book.has(&late) {
                    client.receipts.push(late);
                } else {
                    overtaken.insert(late.vertex);
                }
            }
            log_in(&api, &client.person).await.unwrap();
            let account = client.person.account();
            let (shown, sums) = (shown(&api, &account).await, book.sums(&account));
            assert_eq!(
                (sums.granted, sums.next_sequence),
                (GRANT, shown.next_sequence)
            );
            client.next_sequence = shown.next_sequence;
        }
        // ext4 may end a sync without an error that its shutdown overtook; the next one fails.
        assert!(overtaken.len() <= 1, "{overtaken:?}\n{}", node.log());
        !overtaken.is_empty()
    }

    /// Every transfer that was acknowledged within the first so many vertices of the log.
    pub(super) fn transfers_within(
        &self,
        vertices: u64,
    ) -> impl Iterator<Item = (AccountId, &SubmittedPage)> {
        let receipts = self.clients.iter().flat_map(|client| {
            let account = client.person.account();
            client
                .receipts
                .iter()
                .map(move |receipt| (account, receipt))
        });
        receipts.filter(move |(_, receipt)| {
            receipt.at.seq <= vertices && receipt.booked.place.is_some()
        })
    }

    /// Those log in who were acknowledged anything so early: their accounts are there.
    pub(super) async fn log_in_of(&self, api: &ApiClient, vertices: u64) {
        for client in &self.clients {
            let early = |receipt: &SubmittedPage| receipt.at.seq <= vertices;
            if client.receipts.iter().any(early) {
                log_in(api, &client.person).await.unwrap();
            }
        }
    }
}

impl AtWork {
    /// All end after what they just asked. What is answered from here on is believed only if the log has it:
    /// without power it could not have been answered.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// Waits until all have seen that the node is gone.
    pub(super) async fn home(self) -> People {
        let mut people = self.people;
        for working in self.working {
            let client = tokio::time::timeout(PATIENCE, working).await;
            people
                .clients
                .push(client.expect("the node is gone").unwrap());
        }
        people
    }
}

impl Client {
    async fn work(mut self, home: Home) -> Self {
        if log_in(&home.api, &self.person).await.is_err() {
            return self;
        }
        loop {
            let answer = self.submit(&home).await;
            if home.over.load(Ordering::SeqCst) {
                self.late.extend(answer.ok().flatten());
                return self;
            }
            match answer {
                Ok(None) => {}
                Ok(Some(answer)) => self.remember(answer, &home.genesis),
                Err(error) if error.status() == Some(429) => tokio::time::sleep(PAUSE).await,
                Err(error) => match error.code() {
                    Some("no-position" | "place-insufficient") => tokio::time::sleep(PAUSE).await,
                    Some("not-sequencing") | None => return self,
                    Some(_) => panic!("refused: {error:?}"),
                },
            }
        }
    }

    fn remember(&mut self, answer: SubmittedPage, genesis: &Genesis) {
        assert!(!answer.repeated);
        let receipt = Receipt::read(&answer.receipt).unwrap();
        let receipt = receipt.verify(genesis).unwrap();
        assert_eq!(
            (receipt.vertex, receipt.index),
            (answer.vertex, answer.at.index)
        );
        self.next_sequence += 1;
        self.receipts.push(answer);
    }

    /// Pays somebody, answers what waits, or says what the home takes from now on.
    async fn submit(&mut self, home: &Home) -> Result<Option<SubmittedPage>, ClientError> {
        match self.dice.below(12) {
            0..=2 => self.answer(home).await,
            3 => self.order(home).await.map(Some),
            _ => self.pay(home).await.map(Some),
        }
    }

    async fn pay(&mut self, home: &Home) -> Result<SubmittedPage, ClientError> {
        let account = self.person.account();
        let others: Vec<_> = home
            .accounts
            .iter()
            .filter(|other| **other != account)
            .collect();
        let whom = *others[self.dice.place(others.len())];
        let amount = Amount::from_hundredths(1 + self.dice.below(100));
        let mut order = Order::new(whom, &*home.page, amount);
        order.sequence = self.next_sequence;
        order.created_at = utc();
        (order.subject, order.details) = ("野菜".into(), "葱".into());
        let nonce = random();
        let place = home.api.place(&account, &order.transfer_id, &nonce);
        order.proof_of_place = place.await?.digest;
        home.api.transfer(&self.person.transfer(&order)?.0).await
    }

    /// Takes the first that waits, or turns it down.
    async fn answer(&mut self, home: &Home) -> Result<Option<SubmittedPage>, ClientError> {
        let account = self.person.account();
        let waiting = home.api.incoming(&account, None).await?.transfers;
        let Some(first) = waiting.first() else {
            return Ok(None);
        };
        if self.dice.below(3) == 0 {
            let signed = self.person.reject(first, self.next_sequence, utc())?;
            return home.api.reject(&signed).await.map(Some);
        }
        let signed = self.person.accept(first, self.next_sequence, utc())?;
        home.api.accept(&signed).await.map(Some)
    }

    /// Has the home take small amounts, or nothing any more.
    async fn order(&mut self, home: &Home) -> Result<SubmittedPage, ClientError> {
        let takes = (self.dice.below(3) > 0).then(|| Takes {
            max_amount: Some(Amount::from_hundredths(1 + self.dice.below(60))),
            ..Takes::default()
        });
        let now = utc();
        let signed = self.person.standing_order(takes, self.next_sequence, now)?;
        home.api.order(&signed).await
    }
}

/// What the node shows of an account, once its rate limit lets that pass: there was load just now.
async fn shown(api: &ApiClient, account: &AccountId) -> AccountPage {
    loop {
        match api.account(account).await {
            Err(error) if error.status() == Some(429) => tokio::time::sleep(PAUSE).await,
            answer => return answer.unwrap(),
        }
    }
}

/// Starts a node as a supervisor does, again if it ends by itself, and says how often it was started; or how
/// it ended each time.
pub(super) async fn supervise(
    start: impl Fn() -> Node,
) -> Result<(Node, u32), Vec<(ExitStatus, String)>> {
    let mut ends = Vec::new();
    while ends.len() < STARTS {
        let mut node = start();
        match node.comes_up().await {
            Ok(()) => return Ok((node, 1 + u32::try_from(ends.len()).unwrap())),
            Err(ended) => {
                println!("it ended by itself with {ended}:\n{}", node.log());
                ends.push((ended, node.log()));
            }
        }
    }
    Err(ends)
}

/// Time that something takes on average.
pub(super) struct Pace(Instant);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn each(&self, count: u64) -> Duration {
        self.0.elapsed() / u32::try_from(count.max(1)).unwrap()
    }
}
