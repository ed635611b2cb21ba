package bus

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// DeadLetterTopic returns the dead-letter topic of a topic.
func DeadLetterTopic(topic string) string { return topic + ".dead-letters" }

// DeadLetters stores rejected events.
type DeadLetters interface {
	// Write returns when the dead letter is written to all in-sync replicas. After an error the event counts as unhandled.
	Write(ctx context.Context, l DeadLetter) error
}

// DeadLetter is a rejected record and the reason.
type DeadLetter struct {
	Record   Record // unchanged, byte for byte
	Consumer string // the consumer group that rejected it
	Class    Class
	Reason   string // for operators, at most 1,000 bytes
	Attempts int
	At       time.Time
}

// The headers that a dead letter adds to the record's own. Numbers are decimal, times RFC 3339.
const (
	HeaderClass     = "dead-letter-class"
	HeaderReason    = "dead-letter-reason"
	HeaderConsumer  = "dead-letter-consumer"
	HeaderTopic     = "dead-letter-topic"
	HeaderPartition = "dead-letter-partition"
	HeaderOffset    = "dead-letter-offset"
	HeaderTimestamp = "dead-letter-timestamp" // of the source record
	HeaderAttempts  = "dead-letter-attempts"
	HeaderAt        = "dead-letter-at"
)

// Encode returns the dead letter as its topic holds it: the record's key, value and headers, followed by our own headers.
// The writer chooses the partition.
func (l DeadLetter) Encode() Record {
	r := l.Record
	own := []Header{
		{HeaderClass, []byte(l.Class)},
		{HeaderReason, []byte(l.Reason)},
		{HeaderConsumer, []byte(l.Consumer)},
		{HeaderTopic, []byte(r.Topic)},
		{HeaderPartition, strconv.AppendInt(nil, int64(r.Partition), 10)},
		{HeaderOffset, strconv.AppendInt(nil, r.Offset, 10)},
		{HeaderTimestamp, []byte(r.Timestamp.UTC().Format(time.RFC3339Nano))},
		{HeaderAttempts, strconv.AppendInt(nil, int64(l.Attempts), 10)},
		{HeaderAt, []byte(l.At.UTC().Format(time.RFC3339Nano))},
	}
	return Record{
		Topic: DeadLetterTopic(r.Topic), Key: r.Key, Value: r.Value, Headers: slices.Concat(r.Headers, own),
	}
}

// DeadLetterSource identifies a rejection: a redelivery may write the dead letter of one more than once.
type DeadLetterSource struct {
	Position
	Consumer string
}

// SourceOf returns the source and the class of a dead letter; ok is false for any other record. The last header of a name
// counts, because the rejected record may once have been a dead letter too.
func SourceOf(r Record) (s DeadLetterSource, class Class, ok bool) {
	found := map[string]string{}
	for _, h := range r.Headers {
		found[h.Key] = string(h.Value)
	}
	partition, noPartition := strconv.ParseInt(found[HeaderPartition], 10, 32)
	offset, noOffset := strconv.ParseInt(found[HeaderOffset], 10, 64)
	s = DeadLetterSource{Position{found[HeaderTopic], int32(partition), offset}, found[HeaderConsumer]}
	class = Class(found[HeaderClass])
	return s, class, noPartition == nil && noOffset == nil && s.Topic != "" && slices.Contains(Classes, class)
}
