package bus

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// DeadLetterTopic is the topic of a topic's dead letters.
func DeadLetterTopic(topic string) string { return topic + ".dead-letters" }

// DeadLetters keeps the events that were rejected.
type DeadLetters interface {
	// Write returns when the letter is written to all in-sync replicas. If it returns an error the event does not count
	// as handled.
	Write(ctx context.Context, l DeadLetter) error
}

// DeadLetter is a rejected record, and why.
type DeadLetter struct {
	Record   Record // as it came, byte for byte
	Consumer string // the consumer group that rejected it
	Class    Class
	Reason   string // for people, at most 1,000 bytes
	Attempts int
	At       time.Time
}

// The headers that a dead letter has beside the record's own. Numbers are decimal, times RFC 3339.
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

// Encode is the letter as it stands on its topic: the record's key, value and headers, and behind those our own. The
// partition is left to the writer.
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
		Topic:   DeadLetterTopic(r.Topic),
		Key:     r.Key,
		Value:   r.Value,
		Headers: append(append([]Header(nil), r.Headers...), own...),
	}
}

// DeadLetterSource identifies a rejection: a redelivery may write the dead letter of one more than once.
type DeadLetterSource struct {
	Position
	Consumer string
}

// SourceOf tells whose dead letter a record is, and of which class; ok is false for a record that is none. Its headers stand
// behind those of the record that was rejected, which may have been a dead letter once, too.
func SourceOf(r Record) (s DeadLetterSource, class Class, ok bool) {
	found := map[string]string{}
	for _, h := range r.Headers {
		found[h.Key] = string(h.Value)
	}
	partition, err := strconv.ParseInt(found[HeaderPartition], 10, 32)
	if err != nil {
		return s, "", false
	}
	offset, err := strconv.ParseInt(found[HeaderOffset], 10, 64)
	s = DeadLetterSource{Position{found[HeaderTopic], int32(partition), offset}, found[HeaderConsumer]}
	class = Class(found[HeaderClass])
	return s, class, err == nil && s.Topic != "" && slices.Contains(classes, class)
}

var classes = []Class{Undecodable, Refused, Conflicting, Exhausted, Panicked, Expired, TooLarge}
