//! Every bound in the system, named, with its unit and its reason.
//!
//! Anything that grows with what a peer, a folder or a file contains is held by a constant of this file. A limit that is reached is an
//! error with a name of its own, never a truncation.

use std::time::Duration;

// ---- HTTP ------------------------------------------------------------------------------------------------------------------------

/// Longest head (request or status line and all fields) in bytes. 16 KiB is what node, Apache and Tomcat allow within a factor of two.
pub const HEAD_BYTES: usize = 16 * 1024;
/// Most fields in one head or trailer section.
pub const HEAD_FIELDS: usize = 100;
/// Longest request target in bytes. It bounds paths too: one whose every byte has to be percent-encoded may be 2.7 KiB long.
pub const TARGET_BYTES: usize = 8 * 1024;
/// Longest chunk-size line (RFC 9112, 7.1) in bytes, extensions and CR LF included.
pub const CHUNK_LINE_BYTES: usize = 256;
/// Most bytes of chunk extensions and trailers in one body, so that a million one-byte chunks can't carry a second body in their margins.
pub const CHUNK_MARGIN_BYTES: usize = 16 * 1024;
/// A whole head must have arrived this long after its first byte was awaited, however slowly it drips.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(10);
/// A keep-alive connection without a request is closed after this long.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// A peer that accepts no byte for this long is gone.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// A peer whose system confirms nothing of what was sent to it for this long is gone. With a heartbeat every 15 seconds, the one that is
/// not confirmed is given up before the third is due: a machine that vanished is noticed within 45 seconds.
pub const UNCONFIRMED_LONGEST: Duration = Duration::from_secs(25);
/// A body may take its time for this long before its rate is looked at.
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// Slowest acceptable body after [`BODY_GRACE`], in bytes a second, averaged over the whole body.
pub const BODY_RATE_MIN: u64 = 1024;
/// A body is not looked at before so many bytes of it have come, or all, or its time is up: nothing is written to the disk for who sends
/// less. Whoever is not too slow sends as much every four seconds.
pub const BODY_PIECE_BYTES: usize = 4 * 1024;
/// Unread body that is drained to keep a connection alive, in bytes.
pub const DRAIN_BYTES: u64 = 64 * 1024;
/// How long such draining may take.
pub const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How much is still read of a peer that was told that this is all, in bytes: what is on its way on a long fast line (a gigabit a second,
/// an eighth of a second) before the answer can have stopped the sender.
pub const LINGER_BYTES: u64 = 16 * 1024 * 1024;
/// How long a peer may take to hear that and to hang up as well: many round trips of a bad line.
pub const LINGER_TIME: Duration = Duration::from_secs(5);
/// Largest buffer of one connection in bytes. Twice [`HEAD_BYTES`], so that a head, or a last chunk with its trailers, always fits.
pub const CONN_BUFFER_BYTES: usize = 32 * 1024;
/// How large that buffer is at first, in bytes: usual heads fit, and somebody who sends little takes little.
pub const CONN_BUFFER_FIRST_BYTES: usize = 4 * 1024;
/// A peer that sends no byte of a body for this long is gone: two comment lines of an event stream.
pub const READ_STALL: Duration = Duration::from_secs(30);
/// How long a client tries to connect.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest command that may be given to carry connections, in bytes: more than anybody types.
pub const COMMAND_LINE_BYTES: usize = 16 * 1024;
/// How much of what such a command says on standard error is kept, in bytes: the last lines, for a message.
pub const COMMAND_WORDS_BYTES: usize = 1024;
/// How long such a command may take to end after its output has, before it is killed.
pub const COMMAND_END: Duration = Duration::from_secs(1);
/// How long a client waits for an answer once its request is out, if little was sent: as long as a silent server may go unnoticed.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(45);
/// How fast a server may be expected to bring what it was sent onto its disk, in bytes a second: a slow disk that has other work. A client
/// waits so much longer for an answer.
pub const FLUSH_RATE_MIN: u64 = 8 * 1024 * 1024;
/// How long a client waits for the server to copy or move something in the box, whose size the request does not show.
pub const COPY_DEADLINE: Duration = Duration::from_secs(120);
/// How long a client that expects `100 (Continue)` waits before it sends the body regardless (RFC 9110, 10.1.1).
pub const CONTINUE_WAIT: Duration = Duration::from_secs(1);
/// After so many bytes of a body a client looks whether it has been answered already, so that a refusal does not cost it the rest.
pub const EARLY_ANSWER_BYTES: u64 = 1024 * 1024;

// ---- JSON, SSE -------------------------------------------------------------------------------------------------------------------

/// Deepest nesting of arrays and objects.
pub const JSON_DEPTH: usize = 64;
/// Longest string or key in bytes, after unescaping. Holds a percent-encoded path of [`PATH_BYTES`] with room to spare.
pub const JSON_STRING_BYTES: usize = 64 * 1024;
/// Most keys in one object: each is remembered while the object is open, to refuse duplicates.
pub const JSON_KEYS: usize = 1024;
/// Most bytes of keys remembered at once, those of all open objects together: [`JSON_DEPTH`] objects of [`JSON_KEYS`] keys of
/// [`JSON_STRING_BYTES`] would be 4 GiB.
pub const JSON_KEY_BYTES: usize = 256 * 1024;
/// Most bytes of text that one value read into memory as a whole may have had.
pub const JSON_VALUE_BYTES: usize = 1024 * 1024;
/// Longest line of an event stream in bytes.
pub const SSE_LINE_BYTES: usize = 256 * 1024;
/// Most data of one event (all its `data` lines) in bytes.
pub const SSE_EVENT_BYTES: usize = 256 * 1024;

// ---- Paths -----------------------------------------------------------------------------------------------------------------------

/// Longest path in bytes: Linux takes 4096 with the final NUL in one system call.
pub const PATH_BYTES: usize = 4095;
/// Longest name of a file or directory in bytes (Linux's `NAME_MAX`).
pub const NAME_BYTES: usize = 255;
/// Longest target of a symbolic link in bytes.
pub const LINK_BYTES: usize = 4095;
/// Most bytes of ignore rules, those of all sources together. Together with [`PATH_BYTES`] this bounds what judging one path can cost.
pub const IGNORE_BYTES: usize = 64 * 1024;
/// Most ignore rules: each path is held against each.
pub const IGNORE_RULES: usize = 1000;
/// Longest pattern of an ignore rule in bytes.
pub const IGNORE_PATTERN_BYTES: usize = 1024;
/// Most names in a pattern, so that how far it has got fits into the bits of one word.
pub const IGNORE_PATTERN_NAMES: usize = 63;

// ---- Disk ------------------------------------------------------------------------------------------------------------------------

/// Size of the buffer through which content is read, hashed, sent and received, in bytes: large enough that system calls do not show
/// beside hashing, small enough that a hundred connections cost little.
pub const COPY_BUFFER_BYTES: usize = 128 * 1024;
/// After so many bytes of one content, hashing it moves to a thread of its own: it has taken milliseconds by then, many times what a thread
/// costs. Whoever has sent this much is no flood of slow senders.
pub const HASHED_ASIDE_BYTES: u64 = 4 * 1024 * 1024;
/// Most such threads in one process. With so many transfers at the same time processors have enough to do, and more would only take memory.
pub const HASHING_THREADS: usize = 3;
/// Buffers that go to and fro between such a thread and the one that reads: one is filled while the other is hashed.
pub const HASHING_BUFFERS: usize = 2;
/// Size of each in bytes: so large that waking the other thread does not show, so small that both stay in a processor's cache.
pub const HASHING_BUFFER_BYTES: usize = 512 * 1024;
/// Largest record in a journal in bytes: two paths, an entry, some numbers.
pub const JOURNAL_RECORD_BYTES: usize = 16 * 1024;
/// Appended records are handed to the kernel at the latest when they come to this many bytes.
pub const JOURNAL_PENDING_BYTES: usize = 256 * 1024;
/// What may be unreadable at the end of a journal and still count as the torn tail of one append, in bytes. More is damage.
pub const JOURNAL_TAIL_BYTES: usize = 1024 * 1024;
/// Tombstones that the server keeps; at twice as many the oldest are forgotten. A client that was away for longer than these reach back
/// sends a complete list.
pub const TOMBSTONES: usize = 100_000;
/// Most changes in one commit group. More wait for the next flush, which they share.
pub const COMMIT_GROUP: usize = 512;
/// Most requests of one connection that are begun before the first of them is answered: what a commit group gets from one client. Each may
/// keep a descriptor and [`CONN_BUFFER_BYTES`].
pub const ANSWERS_OWED: usize = 64;
/// How long it is believed that the disk has plenty of room, before it is looked at again: a second of many small uploads is one look.
pub const ROOM_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// What plenty of room is, in bytes: more than comes over a fast network in that time. With less left, each upload is looked at.
pub const ROOM_PLENTY: u64 = 4 * 1024 * 1024 * 1024;
/// Changes of one account that may wait for the committer before the threads that bring them wait too.
pub const COMMIT_QUEUE: usize = 1024;
/// Folders whose content is counted, for quotas and `/status`. What is not asked for any more is forgotten, and counted anew if it is.
pub const TALLIES: usize = 1024;
/// Length at which the server's journal or a client's state is compacted, in bytes, if it is also four times what it would then be.
pub const JOURNAL_COMPACT_BYTES: u64 = 4 * 1024 * 1024;

/// From this size on, in bytes, what came of a transfer that was cut is kept to be continued. Anything smaller is sent again in seconds,
/// which is less trouble than keeping it.
pub const RESUMABLE_BYTES: u64 = 16 * 1024 * 1024;
/// So often, in bytes, a resumable transfer is made durable while it goes on: what a crash may cost, and with the disk so slow that this
/// does not come often enough, a little more.
pub const MARK_BYTES: u64 = 8 * 1024 * 1024;
/// How long what came of a transfer that was cut is kept: a long weekend.
pub const PARTIAL_AGE: Duration = Duration::from_secs(4 * 24 * 3600);
/// Most partial files that are kept in one box or folder, those being transferred aside.
pub const PARTIALS: usize = 64;
/// Most bytes of them, if there is more than one. They also give way when something else needs the room.
pub const PARTIAL_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// After so many paths that were listed or changed, the allocator is asked to give back what it keeps, as soon as there is nothing to do:
/// less is not worth the call.
pub const GIVE_BACK_PATHS: usize = 10_000;
/// Paths that may wait to be looked at. More become one full scan.
pub const DIRTY_PATHS: usize = 65_536;
/// Most directories that a scan has listed at once, before it tells of them: enough to keep all threads busy.
pub const LISTED_DIRECTORIES: usize = 64;
/// When a scan has listed so many names, it tells of them before it lists more: they take a few hundred bytes each, and some milliseconds
/// in all, so that what is told is still true.
pub const LISTED_NAMES: usize = 4096;
/// Most threads that list directories at the same time. More would only wait for each other, in the kernel or for the disk.
pub const LISTING_THREADS: usize = 8;
/// Directories that could not be read and are remembered until they can be. What is beyond waits for a regular scan.
pub const UNLISTED_DIRECTORIES: usize = 4096;
/// First halves of renames that are remembered until their second halves come.
pub const MOVES_IN_FLIGHT: usize = 64;
/// How often a folder is scanned as a whole although events tell of changes: for memory maps, network file systems, and what nobody
/// thought of.
pub const RESCAN_INTERVAL: Duration = Duration::from_secs(300);
/// How often a folder is scanned when events are not to be had.
pub const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// How long content that was replaced or removed can still be had: names that are swapped in one go are told of within seconds, and so
/// long its room on the disk is not free.
pub const RETAINED_FOR: Duration = Duration::from_secs(30);
/// Most files that are retained: a few hundred bytes of memory and an inode each. Of a larger swap some content is sent.
pub const RETAINED_FILES: usize = 4096;
/// Most things in a staging directory whose removal failed and is tried again, a hundred bytes each. The next start removes what is beyond.
pub const UNREMOVED_FILES: usize = 4096;
/// How long after such a failure.
pub const REMOVE_AGAIN: Duration = Duration::from_secs(1);

// ---- Server ----------------------------------------------------------------------------------------------------------------------

/// Most connections at once. Each has a thread, so what they cost adds up, though one that says nothing costs little.
pub const CONNECTIONS: usize = 8192;
/// Of these, places for those who have shown no valid key yet: some hundred milliseconds' worth of them where they come in masses. When
/// there are more, the one that has been there longest has to go.
pub const STRANGERS: usize = 1024;
/// Most connections at once from one address that have shown a key; a request on a further one gets 503. An address of IPv6 counts with all
/// of its network (64 bits). Who comes by a Unix socket has none: usually it is a proxy, with everybody behind it.
pub const CONNECTIONS_PER_PEER: usize = 6144;
/// Descriptors that are not for connections: those of the box, and some that a request needs for a moment.
pub const DESCRIPTORS_ASIDE: u64 = 40;
/// Descriptors for each connection: its socket, and the file that it sends or receives. A process that may not have as many for all
/// [`CONNECTIONS`] lets in fewer.
pub const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Stack of a thread that serves a connection, in bytes: far more than it needs, since nothing recurses and the largest buffers are on the
/// heap. What is not touched takes no memory. But the C library keeps stacks of threads that have ended, 40 MiB of them, with the pages that
/// were touched: the larger each is, the fewer these are.
pub const CONNECTION_STACK: usize = 4 * 1024 * 1024;
/// Stack of a thread that only waits to tell a client what happens, in bytes. Less than a quarter of [`CONNECTION_STACK`], so that the C library
/// does not give it one that a connection has used.
pub const FOLLOWER_STACK: usize = 192 * 1024;
/// Pause after an accept that failed (no file descriptors left, say), so that the loop neither ends nor spins.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Changes that may wait to be told to everybody: a commit group, and the next. When there are more everybody reads the index instead.
pub const HERALD_QUEUE: usize = 2 * COMMIT_GROUP;
/// Events that may wait for one subscriber while its thread has something else to write. When there are more it reads the index instead;
/// nothing is lost.
pub const SUBSCRIBER_QUEUE: usize = 256;
/// A comment line is sent to every subscriber this often, so that both sides notice when the other is gone.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Records handled under one hold of the index lock, so that a long list or a long catch-up does not keep commits waiting.
pub const INDEX_BATCH: usize = 256;
/// How long a stopping server waits for its connections.
pub const STOP_WAIT: Duration = Duration::from_secs(5);
/// How long connections may take to end once a stopping server has hung up on them.
pub const HANG_UP_WAIT: Duration = Duration::from_secs(1);
/// Connections that may wait to be accepted: as many as may be served at once could come back in the moment after a restart. The kernel
/// has a bound of its own (`net.core.somaxconn`, usually 4096), and takes the lesser.
pub const LISTEN_BACKLOG: i32 = 8192;
/// How long a server that starts waits for another to let it in by the socket that it wants, before that counts as busy and thus as there.
pub const SOCKET_PROBE: Duration = Duration::from_secs(1);
/// Shortest key, in characters, that may guard a server which others can reach: with random letters and digits, 95 bits.
pub const KEY_LENGTH_MIN: usize = 16;
/// Longest key file in bytes: more than any key that fits into a header field of use.
pub const KEY_FILE_BYTES: u64 = 4096;
/// Longest signed token in bytes: names of a folder deeper than anybody makes them, and far from the longest head.
pub const TOKEN_BYTES: usize = 4096;
/// How far the clock of whoever issued a token may be from that of whoever reads it.
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(60);
/// Longest life of a token: a year, and a month to think of a new one. What was revoked need not be remembered for longer.
pub const TOKEN_LIFE_LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);
/// Most tokens and clients that are remembered as revoked: more people than a server is made for lose a machine in a year.
pub const REVOCATIONS: usize = 10_000;
/// Longest file of what was revoked, in bytes: so many lines, each with a name of [`CLIENT_ID_BYTES`].
pub const REVOKED_FILE_BYTES: u64 = REVOCATIONS as u64 * (CLIENT_ID_BYTES as u64 + 32);
/// How often it is looked whether a token is still valid while an answer lasts, and of a stream that has nothing to tell, whether its
/// connection is still there.
pub const STREAM_LOOK: Duration = Duration::from_secs(1);
/// Wrong keys that one address may show in a row before it is throttled: more than a person types, or a script has lying about.
pub const FAILURES: u32 = 10;
/// How long it takes until an address may show one more.
pub const FAILURE_PAUSE: Duration = Duration::from_secs(6);
/// Addresses that are remembered because of wrong keys, some eighty bytes each.
pub const THROTTLED_ADDRESSES: usize = 4096;
/// How much of a list is kept in memory until all of it has come, in bytes: some hundred items, as a client lists that was away for a while.
/// The rest is kept on disk.
pub const LIST_MEMORY_BYTES: usize = 32 * 1024;
/// Longest list in bytes: twenty million items.
pub const LIST_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Most that all lists together may take on the disk while they come and are answered, in bytes: the longest, and as much for others.
pub const LISTS_BYTES: u64 = 2 * LIST_BYTES;
/// Longest id or name of a client, in bytes: a UUID, or the name of a machine, fits more than once.
pub const CLIENT_ID_BYTES: usize = 128;
/// From so many waiting bytes on, an event stream is written out: a quarter of a buffer, so that a long answer leaves in large pieces.
pub const STREAM_FLUSH_BYTES: usize = COPY_BUFFER_BYTES / 4;
/// Most files that one list of an original's client may have to upload: they are held until its end, some hundred bytes each.
pub const UPLOADS_AT_ONCE: usize = 250_000;
/// Up to so many staged files, in a box or a folder, are flushed one by one, more by one flush of the whole file system. A flush of one file costs about as
/// much as one of the journal, while a flush of the file system also waits for what other programs have written.
pub const FLUSHED_ONE_BY_ONE: usize = 4;
/// What was found by hand in the box, but could not be committed, and what could not be looked at, is looked at again after this long.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Files that were deleted in the box by hand and are remembered for some seconds, should they appear under other names: a hundred bytes
/// each. What is beyond is read again if it does.
pub const LOST_REMEMBERED: usize = 250_000;
/// How often a file that does not look as the index says is tried again before a download of it is refused.
pub const OPEN_TRIES: u32 = 20;
/// Pause before each such try: together a second, in which an edit by hand is usually found and read.
pub const OPEN_PAUSE: Duration = Duration::from_millis(50);
/// Largest body of a request that is not a list and not content, in bytes.
pub const SMALL_BODY_BYTES: u64 = 64 * 1024;
/// How long versions that had to make way are kept in `.filesync/versions`.
pub const VERSIONS_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Most that all of them take together, in bytes, beyond the newest: what a disk can spare, and more than a month of them should be.
pub const VERSIONS_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// So many are kept between two looks at which have to go.
pub const VERSIONS_BETWEEN: u64 = 64;
/// Most that is read of the note on directories whose mode is another one for a moment, in bytes: every directory above the longest path
/// has room in it.
pub const OPENED_BYTES: u64 = 16 * 1024 * 1024;
/// Log lines about paths that do not sync that are remembered, so that not every scan says them again.
pub const REMEMBERED_NOTICES: usize = 1024;
/// Most names in one directory. Listing one takes a few hundred bytes a name, so this is where it would begin to hurt.
pub const DIRECTORY_NAMES: usize = 4_000_000;
/// Size of the buffer through which a directory is read, in bytes: about a thousand names a call, as the C libraries have it.
pub const DIRECTORY_BUFFER_BYTES: usize = 32 * 1024;
/// Size of the buffer through which word of changes is read, in bytes: over two hundred of the longest records, thousands of usual ones.
pub const WATCH_BUFFER_BYTES: usize = 64 * 1024;

// ---- Clients ---------------------------------------------------------------------------------------------------------------------

/// Longest step of a file system's clock: a hundredth of a second with the slowest tick that Linux is built with.
pub const TIMESTAMP_TICK: Duration = Duration::from_millis(10);
/// How many names are tried for a conflict copy; each second has its own.
pub const CONFLICT_ATTEMPTS: u32 = 100;
/// From this size on, a client asks before it sends content, so that a refusal comes before gigabytes do, in bytes.
pub const EXPECT_CONTINUE_BYTES: u64 = 64 * 1024;
/// Workers of a client, each with a connection of its own, unless another number is asked for.
pub const WORKERS: usize = 8;
/// Content of at most so many bytes makes a light job: half of [`CONN_BUFFER_BYTES`], so that a server that holds as much has the whole
/// request before it begins with it.
pub const LIGHT_BYTES: u64 = CONN_BUFFER_BYTES as u64 / 2;
/// Most light jobs that a worker does together. Their requests without content, and their answers without, are some 10 KiB, which any
/// socket holds; and what a worker has in memory for them is 512 KiB, if all of them are files of [`LIGHT_BYTES`]. Half as many make a
/// commit group smaller, and cost a tenth more of processors' time.
pub const JOBS_TOGETHER: usize = 32;
/// Most workers that may be asked for.
pub const WORKERS_MAX: usize = 64;
/// Files that may wait to be published, before workers wait. So many at most share one flush, and so many are open.
pub const PUBLISH_QUEUE: usize = 128;
/// Messages that may wait for the control thread before those who bring them wait too. One may be the listing of a directory, so they
/// are few.
pub const CONTROL_QUEUE: usize = 32;
/// One piece of a client's list on its way to the server, in bytes.
pub const LIST_PIECE_BYTES: usize = 64 * 1024;
/// A server that says nothing for this long, not even a heartbeat, is gone.
pub const STREAM_STALL: Duration = Duration::from_secs(45);
/// Word of what the server has just done comes at once. Where nothing at all is told for so long, it was lost on the way.
pub const NEWS_PATIENCE: Duration = Duration::from_secs(15);
/// First pause after something went wrong, be it with a path or with the server; it doubles with each failure in a row.
pub const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest pause before a path is tried again.
pub const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Longest pause before the server is tried again. Shorter than that of a path, because everything waits.
pub const RECONNECT_LONGEST: Duration = Duration::from_secs(30);
/// Longest pause that a server can ask for with `Retry-After`. A longer one would be taken for a defect by whoever waits.
pub const RETRY_AFTER_LONGEST: Duration = Duration::from_secs(600);
/// Paths looked at for one piece of a client's list, so that a long run of paths with nothing to list does not keep control busy.
pub const LIST_PIECE_PATHS: usize = 4096;
/// Most paths that are not in agreement and that a client keeps in mind because the box names them: each takes some 450 bytes, so 4.5 GB.
pub const TRACKS_MAX: usize = 10_000_000;
/// A server that has a client's whole list and says nothing but heartbeats for this long will never be done with it.
pub const LIST_ANSWER_LONGEST: Duration = Duration::from_secs(120);
/// Most problems that the status shows, each with its path.
pub const PROBLEMS_SHOWN: usize = 100;
/// How long threads of a stopping client may take to break off what they do.
pub const THREAD_PATIENCE: Duration = Duration::from_secs(2);
/// Most candidates looked at when content is searched for that the other side may have under another name: files with the same content
/// are as good as each other, and one of so many will do.
pub const SOURCES_TRIED: usize = 16;
