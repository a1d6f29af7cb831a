//! The disk as the kernel asks for it.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::{Facts, Model, Refusal, Shared, Trouble, Wanted};

/// Nothing is remembered by the kernel: the disk may change under it.
const TTL: Duration = Duration::ZERO;
const BLOCK: u64 = 4096;

/// What is mounted.
pub(super) struct Mounted(pub(super) Arc<Shared>);

impl Mounted {
    /// Asks the disk, unless it is away.
    fn ask<T>(&self, what: impl FnOnce(&mut Model) -> Result<T, Refusal>) -> Result<T, Errno> {
        let mut state = self.0.lock();
        if state.trouble == Trouble::Away {
            return Err(Errno::EIO);
        }
        what(&mut state.model).map_err(errno)
    }

    fn attr(&self, inode: INodeNo) -> Result<FileAttr, Errno> {
        self.ask(|model| model.facts(inode.0)).map(|facts| attr(inode, facts))
    }

    /// Makes something durable, says that it did, or keeps whoever asked waiting.
    fn sync(&self, reply: ReplyEmpty, what: Wanted) {
        let mut state = self.0.lock();
        let held = match &mut state.hold_in {
            Some(0) => true,
            Some(more) => {
                *more -= 1;
                false
            }
            None => false,
        };
        if state.trouble == Trouble::Away {
            return reply.error(Errno::EIO);
        }
        // Once one is held nothing later is synced either: a disk writes in order.
        if held {
            state.held.push((reply, what));
            return self.0.changed.notify_all();
        }
        done(reply, state.sync(what).map_err(errno));
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.ask(|model| {
            let inode = model.find(parent.0, name)?;
            Ok((inode, model.facts(inode)?))
        });
        match found {
            Ok((inode, facts)) => reply.entry(&TTL, &attr(INodeNo(inode), facts), Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attr(inode) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = size.map_or(Ok(()), |size| self.ask(|model| model.resize(inode.0, size)));
        match resized.and_then(|()| self.attr(inode)) {
            Ok(attr) => reply.attr(&TTL, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        match self.ask(|model| model.create(parent.0, name, true)) {
            Ok(inode) => {
                reply.entry(&TTL, &attr(INodeNo(inode), Facts { size: 0, is_folder: true }), Generation(0));
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.ask(|model| model.remove(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.ask(|model| model.remove(parent.0, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        done(reply, self.ask(|model| model.rename((parent.0, name), (new_parent.0, new_name))));
    }

    fn open(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.ask(|model| model.opened(inode.0)) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        let created = self.ask(|model| {
            let inode = model.create(parent.0, name, false)?;
            model.opened(inode)?;
            Ok(inode)
        });
        match created {
            Ok(inode) => {
                let attr = attr(INodeNo(inode), Facts { size: 0, is_folder: false });
                reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.ask(|model| model.read(inode.0, offset, size as usize).map(<[u8]>::to_vec)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.ask(|model| model.write(inode.0, offset, data)) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.lock().model.closed(inode.0);
        self.0.changed.notify_all();
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(reply, Wanted::File(inode.0));
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(reply, Wanted::Folder(inode.0));
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.ask(|model| {
            let named = model.list(inode.0)?;
            named
                .into_iter()
                .map(|(name, inode)| Ok((name, inode, model.facts(inode)?)))
                .collect::<Result<Vec<_>, _>>()
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => return reply.error(error),
        };
        let dots = [".", ".."].map(|name| (name.into(), inode.0, Facts { size: 0, is_folder: true }));
        let all = dots.into_iter().chain(listed).zip(1..);
        for ((name, inode, facts), next) in all.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(inode), next, kind(facts), &name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (used, capacity) = self.0.lock().model.room();
        let free = capacity.saturating_sub(used) / BLOCK;
        reply.statfs(capacity / BLOCK, free, free, 1 << 20, 1 << 20, BLOCK as u32, 255, BLOCK as u32);
    }
}

fn done(reply: ReplyEmpty, what: Result<(), Errno>) {
    match what {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

pub(super) fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Missing => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::WrongKind => Errno::EISDIR,
        Refusal::Full => Errno::ENOSPC,
    }
}

fn kind(facts: Facts) -> FileType {
    if facts.is_folder { FileType::Directory } else { FileType::RegularFile }
}

fn attr(inode: INodeNo, facts: Facts) -> FileAttr {
    FileAttr {
        ino: inode,
        size: facts.size,
        blocks: facts.size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(facts),
        perm: if facts.is_folder { 0o700 } else { 0o600 },
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: BLOCK as u32,
        flags: 0,
    }
}
