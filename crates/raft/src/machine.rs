//! What entries are applied to.

use std::io::{BufReader, BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, Entry, EntryPayload, LogId, OptionalSend, RaftSnapshotBuilder, Snapshot, SnapshotMeta, StorageError,
    StorageIOError, StoredMembership,
};
use tokio::sync::oneshot;

use crate::runtime::blocking;
use crate::snapshot::SnapshotFile;
use crate::types::{Applied, Member, NodeId, Outcome, Proposal, TypeConfig};

/// The longest mark of a snapshot, in bytes.
const MARK_SIZE_MAX: u32 = 1 << 20;

/// Any error of a host.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What applies blocks, and keeps the mark of how far it is together with what they do.
pub trait Machine: Send + 'static {
    /// What snapshots are made from.
    type Source: Source;

    /// The last mark; none before the first.
    ///
    /// # Errors
    /// The database fails.
    fn mark(&self) -> Result<Option<Vec<u8>>, BoxError>;

    /// Applies a block, and writes the mark together with it.
    ///
    /// # Errors
    /// The node can make no more blocks.
    fn block(&mut self, proposal: Proposal, mark: Vec<u8>) -> Result<Outcome, BoxError>;

    /// Writes a mark alone.
    ///
    /// # Errors
    /// The database fails.
    fn rest(&mut self, mark: Vec<u8>) -> Result<(), BoxError>;

    /// What a snapshot of the state is made from.
    fn source(&self) -> Self::Source;

    /// Puts a snapshot in the place of the state, whole or not at all, and writes the mark together with it.
    ///
    /// # Errors
    /// The snapshot cannot be used, or the database fails.
    fn install(&mut self, snapshot: &mut dyn Read, mark: Vec<u8>) -> Result<(), BoxError>;
}

/// Writes a state as it is at one moment, while blocks go on.
pub trait Source: Send + 'static {
    /// Holds the state of now, calls `held`, after which it may move on, and writes what it holds.
    ///
    /// # Errors
    /// The database or the output fails.
    fn write(&self, held: &mut dyn FnMut(), out: &mut dyn Write) -> Result<(), BoxError>;
}

/// A machine as openraft wants it.
pub struct StateMachine<M> {
    machine: Arc<Mutex<M>>,
    applied: Arc<Mutex<Applied>>,
    current: Arc<Mutex<Option<Snapshot<TypeConfig>>>>,
    folder: Option<PathBuf>,
}

impl<M> std::fmt::Debug for StateMachine<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateMachine").field("applied", &self.applied).finish_non_exhaustive()
    }
}

impl<M: Machine> StateMachine<M> {
    /// Takes a machine over. Snapshots are written to a folder, or to that of the system.
    ///
    /// # Errors
    /// The mark of the machine cannot be read.
    pub fn open(machine: M, folder: Option<PathBuf>) -> Result<Self, BoxError> {
        let applied = machine.mark()?.map(|mark| Applied::from_bytes(&mark)).transpose()?.unwrap_or_default();
        Ok(Self {
            machine: Arc::new(Mutex::new(machine)),
            applied: Arc::new(Mutex::new(applied)),
            current: Arc::default(),
            folder,
        })
    }

    /// How far the machine is, for others to look at.
    pub(crate) fn applied(&self) -> Arc<Mutex<Applied>> {
        Arc::clone(&self.applied)
    }
}

/// A machine or mark behind a poisoned lock is as it was before a call that failed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn any(error: &BoxError) -> AnyError {
    AnyError::error(error.to_string())
}

fn apply(
    machine: &mut impl Machine,
    applied: &Mutex<Applied>,
    entry: Entry<TypeConfig>,
) -> Result<Outcome, StorageError<NodeId>> {
    let failed = |error: BoxError| StorageIOError::apply(entry.log_id, any(&error));
    let mut next = lock(applied).clone();
    next.last = Some(entry.log_id);
    if let EntryPayload::Membership(membership) = &entry.payload {
        next.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
        next.seen.extend(membership.nodes().map(|(id, member)| (*id, member.incarnation)));
    }
    let mark = next.to_bytes().map_err(|error| failed(error.into()))?;
    let outcome = match entry.payload {
        EntryPayload::Normal(proposal) => machine.block(proposal, mark).map_err(failed)?,
        EntryPayload::Blank | EntryPayload::Membership(_) => {
            machine.rest(mark).map_err(failed)?;
            Outcome::default()
        }
    };
    *lock(applied) = next;
    Ok(outcome)
}

impl<M: Machine> RaftStateMachine<TypeConfig> for StateMachine<M> {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<NodeId>>, StoredMembership<NodeId, Member>), StorageError<NodeId>> {
        let applied = lock(&self.applied);
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcome>, StorageError<NodeId>>
    where
        I: IntoIterator<Item = Entry<TypeConfig>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<_> = entries.into_iter().collect();
        let (machine, applied) = (Arc::clone(&self.machine), Arc::clone(&self.applied));
        let outcomes = blocking(move || {
            let mut machine = lock(&machine);
            entries.into_iter().map(|entry| apply(&mut *machine, &applied, entry)).collect()
        });
        outcomes.await.map_err(|error| StorageIOError::write_state_machine(AnyError::new(&error)))?
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        let (source, applied) = (lock(&self.machine).source(), lock(&self.applied).clone());
        let (held, is_held) = oneshot::channel();
        let (current, folder) = (Arc::clone(&self.current), self.folder.clone());
        let (done, is_done) = oneshot::channel();
        let build = async move {
            let built = blocking(move || {
                let mut held = Some(held);
                build(&source, &applied, folder, &mut || {
                    // Nobody waits for it if openraft is being dropped.
                    let _heard = held.take().map(|held| held.send(()));
                })
            });
            let built = built.await.map_err(BoxError::from).and_then(|built| built);
            if let Ok(snapshot) = &built {
                *lock(&current) = Some(snapshot.clone());
            }
            let _heard = done.send(built);
        };
        tokio::spawn(build);
        // A builder that could not hold the state says so when it is asked for the snapshot.
        let _held = is_held.await;
        SnapshotBuilder(Some(is_done))
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError<NodeId>> {
        let file = SnapshotFile::create(self.folder.as_deref());
        Ok(Box::new(file.map_err(|error| StorageIOError::write_snapshot(None, AnyError::new(&error)))?))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta<NodeId, Member>,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError<NodeId>> {
        let (machine, file, expected) = (Arc::clone(&self.machine), (*snapshot).clone(), meta.clone());
        let installed = blocking(move || install(&mut *lock(&machine), &file, &expected));
        let installed = installed.await.map_err(BoxError::from).and_then(|installed| installed);
        let applied = installed.map_err(|error| StorageIOError::write_snapshot(Some(meta.signature()), any(&error)))?;
        *lock(&self.applied) = applied;
        *lock(&self.current) = Some(Snapshot { meta: meta.clone(), snapshot });
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig>>, StorageError<NodeId>> {
        Ok(lock(&self.current).clone())
    }
}

fn build(
    source: &impl Source,
    applied: &Applied,
    folder: Option<PathBuf>,
    held: &mut dyn FnMut(),
) -> Result<Snapshot<TypeConfig>, BoxError> {
    let snapshot = SnapshotFile::create(folder.as_deref())?;
    let mut out = BufWriter::new(snapshot.file());
    let mark = applied.to_bytes()?;
    out.write_all(&u32::try_from(mark.len())?.to_be_bytes())?;
    out.write_all(&mark)?;
    source.write(held, &mut out)?;
    out.flush()?;
    drop(out);
    Ok(Snapshot { meta: meta_of(applied), snapshot: Box::new(snapshot) })
}

fn meta_of(applied: &Applied) -> SnapshotMeta<NodeId, Member> {
    let snapshot_id = applied.last.map_or_else(|| "0".to_owned(), |last| format!("{}-{}", last.leader_id, last.index));
    SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership.clone(), snapshot_id }
}

fn install(
    machine: &mut impl Machine,
    file: &SnapshotFile,
    meta: &SnapshotMeta<NodeId, Member>,
) -> Result<Applied, BoxError> {
    let mut input = BufReader::new(file.reader());
    let mut size = [0; 4];
    input.read_exact(&mut size)?;
    let size = u32::from_be_bytes(size);
    if size > MARK_SIZE_MAX {
        return Err(format!("the mark of the snapshot has {size} bytes, more than {MARK_SIZE_MAX}").into());
    }
    let mut mark = vec![0; usize::try_from(size)?];
    input.read_exact(&mut mark)?;
    let applied = Applied::from_bytes(&mark)?;
    if applied.last != meta.last_log_id || applied.membership != meta.last_membership {
        return Err("the mark of the snapshot is not what its sender says".into());
    }
    machine.install(&mut input, mark)?;
    Ok(applied)
}

/// Waits for a snapshot that is being written.
#[derive(Debug)]
pub struct SnapshotBuilder(Option<oneshot::Receiver<Result<Snapshot<TypeConfig>, BoxError>>>);

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig>, StorageError<NodeId>> {
        let failed = |error: AnyError| StorageIOError::write_snapshot(None, error);
        let built = self.0.take().ok_or_else(|| failed(AnyError::error("the snapshot was taken before")))?;
        let built = built.await.map_err(|error| failed(AnyError::new(&error)))?;
        Ok(built.map_err(|error| failed(any(&error)))?)
    }
}
