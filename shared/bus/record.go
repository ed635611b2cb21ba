package bus

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// Record is one record of a topic.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       []byte // nil = none
	Value     []byte // nil = a tombstone
	Headers   []Header

	LeaderEpoch int32 // of the record's batch, to be committed with its offset (KIP-320)
	Unreadable  error // why the source could not read it: it has no key, value and headers, and is rejected as [TooLarge]
}

// Header is one header of a record; a key may repeat.
type Header struct {
	Key   string
	Value []byte
}

// Memory of a record and of a header beside their bytes, in the Kafka client and here.
const recordOverhead, headerOverhead = 512, 96

// size estimates the record's memory.
func (r *Record) size() int {
	n := recordOverhead + len(r.Key) + len(r.Value) + headerOverhead*len(r.Headers)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Clone returns a copy that shares no memory with the record.
func (r *Record) Clone() *Record {
	c := *r
	c.Key, c.Value, c.Headers = bytes.Clone(r.Key), bytes.Clone(r.Value), slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = bytes.Clone(c.Headers[i].Value)
	}
	return &c
}

// Position is the place of a record.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Publisher writes events to their topics.
type Publisher interface {
	// Publish returns when the event is written to all in-sync replicas. After an Unavailable error, which has the event's
	// id, the event may still be written later.
	Publish(ctx context.Context, e events.Any) (Position, error)
}
