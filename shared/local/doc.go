// Package local is the embedded Kafka broker: franz-go's pkg/kfake, a test broker that speaks the real protocol, made safe to
// keep data on. One node, one process, no authentication; for a laptop and a single machine.
//
// It guarantees:
//   - One process per folder ([ErrLocked]) and one per address ([ErrAddressTaken]). The folder is private to its user.
//   - Acknowledged records and committed offsets are synced to the disk. They survive kill -9 and power cuts, in order.
//   - Connections that send anything but a Kafka client's requests are closed; the size of requests is bounded.
//   - Clients continue when the broker is back at its address. What a producer had in flight at a kill may be stored twice; a
//     consumer gets again what it had not committed, and misses nothing.
//   - Torn ends and entries are removed and logged. Other damage is refused ([ErrDamaged]) and left as it is.
//   - Only DeleteTopics deletes records: retention and compaction may be declared and are not applied, DeleteRecords is not
//     offered, committed offsets do not expire.
//
// Most of it is done on the files before kfake opens them, in the formats of kfake's persist.go, version 1: run the tests before
// upgrading kfake.
//
// It does not guarantee, measured on two cores and a fast disk:
//   - Speed: the broker is one goroutine, and syncs for some 0.6 ms per publish; publishers on one client share that: 7,000 to
//     12,000 events/s. Opening reads the whole log: 250 MB in 0.5 s; memory peaks at up to 2.3 times the log.
//   - Transactions and share groups: they are kfake's own.
//   - Errors of syncing: kfake ignores them. A full disk fails the publish (UNKNOWN_SERVER_ERROR, which kgo does not retry).
package local
