package bus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DeadLetterTopic returns the dead-letter topic of a topic.
func DeadLetterTopic(topic string) string { return topic + ".dead-letters" }

// AuditTopic is the topic that records what was done about dead letters. It has one partition.
const AuditTopic = "dead-letters-audit"

// DeadLetters stores rejected events.
type DeadLetters interface {
	// Write returns when the dead letter is written to all in-sync replicas. After an error the event counts as unhandled.
	Write(ctx context.Context, l DeadLetter) error
}

// DeadLetter is a rejected record and the reason.
type DeadLetter struct {
	Record       Record // unchanged, byte for byte
	Consumer     string // the consumer group that rejected it
	Class        Class
	Reason       string // for operators, at most 1,000 bytes
	Attempts     int
	LastAttempts []Attempt // the last of the attempts, oldest first
	At           time.Time
}

// The headers that a dead letter adds to the record's own. Numbers are decimal, times RFC 3339.
const (
	HeaderClass        = "dead-letter-class"
	HeaderReason       = "dead-letter-reason"
	HeaderConsumer     = "dead-letter-consumer"
	HeaderTopic        = "dead-letter-topic"
	HeaderPartition    = "dead-letter-partition"
	HeaderOffset       = "dead-letter-offset"
	HeaderTimestamp    = "dead-letter-timestamp" // of the source record
	HeaderAttempts     = "dead-letter-attempts"
	HeaderAt           = "dead-letter-at"
	HeaderLastAttempts = "dead-letter-last-attempts" // between commas: when each began, a slash, how long it took
)

// Encode returns the dead letter as its topic holds it: the record's key, value and headers, followed by our own headers.
// The writer chooses the partition.
func (l DeadLetter) Encode() Record {
	r := l.Record
	var attempts []string
	for _, t := range l.LastAttempts {
		attempts = append(attempts, t.At.UTC().Format(time.RFC3339Nano)+"/"+t.Took)
	}
	own := []Header{
		// First, because readers that do not know it take it for one of the record's own.
		{HeaderLastAttempts, []byte(strings.Join(attempts, ","))},
		{HeaderClass, []byte(l.Class)}, {HeaderReason, []byte(l.Reason)}, {HeaderConsumer, []byte(l.Consumer)},
		{HeaderTopic, []byte(r.Topic)}, {HeaderPartition, strconv.AppendInt(nil, int64(r.Partition), 10)},
		{HeaderOffset, strconv.AppendInt(nil, r.Offset, 10)},
		{HeaderTimestamp, []byte(r.Timestamp.UTC().Format(time.RFC3339Nano))},
		{HeaderAttempts, strconv.AppendInt(nil, int64(l.Attempts), 10)},
		{HeaderAt, []byte(l.At.UTC().Format(time.RFC3339Nano))},
	}
	return Record{Topic: DeadLetterTopic(r.Topic), Key: r.Key, Value: r.Value, Headers: slices.Concat(r.Headers, own)}
}

// ParseDeadLetter reads what [DeadLetter.Encode] wrote; ok is false for any other record. The rejected record may once have been
// a dead letter too, so only the last header of each name is ours.
func ParseDeadLetter(r Record) (l DeadLetter, ok bool) {
	found := map[string]string{}
	own := len(r.Headers)
	for own > 0 && slices.Contains(deadLetterHeaders, r.Headers[own-1].Key) {
		key := r.Headers[own-1].Key
		if _, repeated := found[key]; repeated {
			break
		}
		own--
		found[key] = string(r.Headers[own].Value)
	}
	var faults [4]error
	var partition int64
	l.Record = Record{Topic: found[HeaderTopic], Key: r.Key, Value: r.Value, Headers: r.Headers[:own]}
	l.Consumer, l.Class, l.Reason = found[HeaderConsumer], Class(found[HeaderClass]), found[HeaderReason]
	partition, faults[0] = strconv.ParseInt(found[HeaderPartition], 10, 32)
	l.Record.Partition = int32(partition)
	l.Record.Offset, faults[1] = strconv.ParseInt(found[HeaderOffset], 10, 64)
	l.Record.Timestamp, _ = time.Parse(time.RFC3339Nano, found[HeaderTimestamp]) // a producer may set any number, beyond year 9999
	l.Attempts, faults[2] = strconv.Atoi(found[HeaderAttempts])
	l.At, faults[3] = time.Parse(time.RFC3339Nano, found[HeaderAt])
	for text := range strings.SplitSeq(found[HeaderLastAttempts], ",") {
		at, took, _ := strings.Cut(text, "/")
		if t, err := time.Parse(time.RFC3339Nano, at); err == nil {
			l.LastAttempts = append(l.LastAttempts, Attempt{t, took})
		}
	}
	return l, errors.Join(faults[:]...) == nil && l.Record.Topic != "" && slices.Contains(Classes, l.Class)
}

var deadLetterHeaders = []string{HeaderClass, HeaderReason, HeaderConsumer, HeaderTopic, HeaderPartition, HeaderOffset,
	HeaderTimestamp, HeaderAttempts, HeaderAt, HeaderLastAttempts}

// The headers of a redriven record: a dead letter's record that was written to its topic again. Only the consumer group that is
// named handles it; to the others it is a repeat, which they skip.
const (
	HeaderRedriveConsumer = "redrive-consumer"
	HeaderRedriveOf       = "redrive-of" // the position of the record that was rejected first: topic/partition/offset
	HeaderRedrives        = "redrives"   // how often it was redriven, this time included
)

// RedrivenFor reports whether the record is for the group: it was not redriven for another one.
func (r *Record) RedrivenFor(group string) bool {
	consumer := r.Header(HeaderRedriveConsumer)
	return consumer == nil || string(consumer) == group
}
