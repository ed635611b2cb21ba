// Package local is the embedded Kafka broker: franz-go's pkg/kfake, a test
// broker that speaks the real protocol, made safe to keep data on. One node,
// one process, no authentication; for a laptop and a single machine.
//
// It promises:
//   - One process per folder and one per address, each refused in plain words ([ErrLocked], [ErrAddressTaken]).
//   - Bytes that are no request of a Kafka client, or too large, close their connection: browsers and port scans do no harm.
//   - Once acknowledged, a record survives the process being killed, in order and once; so does a committed offset.
//     Both are synced to the disk first, for a power cut, unless [Options].NoSync.
//   - Clients that outlive the broker go on when it is back at its address, without a stall. A producer's records stand
//     once; a consumer misses none and may get again what it had not committed.
//   - An offset that a group has committed, or that the last clean close knew, is not given out again, so that no group
//     skips a record whatever became of the log's end.
//   - A torn end is cut and logged. Other damage is refused ([ErrDamaged]) and left as it is.
//   - Nothing is deleted but by request (DeleteRecords, DeleteTopics). Retention and compaction may be declared,
//     are shown, and are not carried out; committed offsets do not expire.
//   - The declared topics exist with at least their partitions and with their settings.
//
// Most of it is done on the files before kfake opens them, against the formats of kfake's persist.go, version 1:
// read the tests' verdict before upgrading kfake.
//
// Caveats, measured on two cores and a fast disk:
//   - Opening reads the whole log: 50 MB (100,000 events of 400 bytes) 0.1 s, 250 MB 0.35 s. Memory peaks at 1 to 2.3
//     times the log and falls back to some 100 bytes per batch. An empty folder opens in 10 ms.
//   - The broker is one goroutine. Syncing costs some 0.6 ms per publish (0.05 ms in all with NoSync) and holds up
//     everything else meanwhile; publishers on one client share it: 7,000 to 12,000 events/s, with NoSync 75,000 and more.
//   - Transactions and share groups are kfake's own; nothing here is proven about them.
//   - DeleteRecords frees whole segments (100 MB) only, and after a kill records of a segment kept in part are back.
//   - kfake does not check names and values of topic settings.
//   - A full disk fails the publish at once (UNKNOWN_SERVER_ERROR), which kgo does not repeat; a client that repeated the
//     very batch would be told that it is stored. kfake does not look at errors of syncing.
package local
