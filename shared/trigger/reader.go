package trigger

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
)

// sources are the values of eventSource; the last is in AWS's own examples of a self-managed cluster's payload.
var sources = []string{"aws:kafka", "SelfManagedKafka", "aws:SelfManagedKafka"}

// Decode reads the payload of a Kafka event source mapping: records of one or several partitions, in offset order within each.
// Nothing of them shares memory with payload. A record's nil key is absent or null in the payload, a nil value is a tombstone;
// empty ones are empty.
//
// Members may be in any order; unknown ones are skipped. Topic and partition are the record's own, not its list's name. A
// header's bytes may be signed (as Java writes them) or not; a key of several headers is kept as often, in order.
//
// A record without topic, partition or offset, or with a fault in its base64, is an error of the whole batch. It must not become
// a dead letter, because not the event is at fault but what brought it, and without an offset the record cannot be named to AWS.
// The batch is retried, and the error says where to look, without any of the payload's values.
func Decode(payload []byte) ([]bus.Record, error) {
	in, fault := reader{src: payload}, ""
	in.batch()
	if in.failed { // perhaps it is not written as AWS does: with white space, or escapes in base64
		compact := jsontext.Value(bytes.Clone(payload))
		if compact.Format(jsontext.AllowInvalidUTF8(true)) != nil { // as encoding/json
			fault = "it is not valid JSON, has a member twice, or ends in the middle"
		}
		in = reader{src: compact}
		in.batch()
	}
	switch {
	case fault != "":
	case in.failed:
		fault = fmt.Sprintf("at byte %d, without white space: a record has a topic, a partition and an offset, within Kafka's bounds, "+
			"key and value in base64, and headers of bytes from -128 to 255", in.failedAt)
	case !slices.Contains(sources, in.source):
		fault = "its eventSource is not aws:kafka or SelfManagedKafka: another trigger invokes this function"
	case !in.found:
		fault = "it has no records"
	default:
		return in.records, nil
	}
	return nil, fmt.Errorf("the payload cannot be read as a batch of Kafka records: %s; nothing of it was handled", fault)
}

// reader reads a payload without white space. It is here for speed: by package json the way from a payload to typed events takes
// longer than by Node's JSON.parse, 1.4 times with reflection and 1.05 times token by token; BenchmarkPayload compares.
type reader struct {
	src      []byte
	pos      int // of what is next
	failed   bool
	failedAt int
	bytes    []byte // keys, values and headers of all records

	source  string // eventSource
	found   bool   // it has records, which may be none
	records []bus.Record
}

func (in *reader) batch() {
	// Four characters of base64 are three bytes, and a header's byte takes two characters at least.
	in.bytes = make([]byte, 0, len(in.src)/4*3)
	in.each('{', '}', func() {
		switch string(in.name()) {
		case "eventSource":
			in.source = string(in.text())
		case "records":
			if in.found = !in.null(); in.found {
				in.records = slices.Grow(in.records, bytes.Count(in.src, []byte(`"topic":`)))
				in.each('{', '}', func() {
					in.name()
					in.each('[', ']', func() { in.records = append(in.records, in.record()) })
				})
			}
		default:
			in.skip()
		}
	})
	in.require(in.pos == len(in.src))
}

func (in *reader) record() bus.Record {
	r := bus.Record{Partition: -1, Offset: -1}
	in.each('{', '}', func() {
		switch string(in.name()) {
		case "topic":
			r.Topic = string(in.text())
		case "partition":
			n := in.number()
			r.Partition = int32(n)
			in.require(n >= 0 && n <= math.MaxInt32)
		case "offset":
			r.Offset = in.number()
		case "timestamp":
			if !in.null() {
				r.Timestamp = time.UnixMilli(in.number())
			}
		case "key":
			r.Key = in.base64()
		case "value":
			r.Value = in.base64()
		case "headers":
			in.each('[', ']', func() { in.each('{', '}', func() { r.Headers = append(r.Headers, in.header()) }) })
		default:
			in.skip()
		}
	})
	in.require(r.Topic != "" && r.Partition >= 0 && r.Offset >= 0 && r.Offset < math.MaxInt64) // the next one must be in range
	return r
}

func (in *reader) header() bus.Header {
	h, start := bus.Header{Key: string(in.name())}, len(in.bytes)
	if in.null() {
		return h
	}
	in.each('[', ']', func() {
		n := in.number()
		in.require(n >= math.MinInt8 && n <= math.MaxUint8)
		in.bytes = append(in.bytes, byte(n))
	})
	h.Value = slices.Clip(in.bytes[start:])
	return h
}

func (in *reader) require(ok bool) {
	if !ok && !in.failed {
		in.failed, in.failedAt = true, in.pos
	}
}

func (in *reader) take(c byte) bool {
	if in.pos >= len(in.src) || in.src[in.pos] != c {
		return false
	}
	in.pos++
	return true
}

func (in *reader) null() bool {
	found := bytes.HasPrefix(in.src[in.pos:], []byte("null"))
	if found {
		in.pos += len("null")
	}
	return found
}

func (in *reader) skip() {
	d := jsontext.NewDecoder(bytes.NewBuffer(in.src[in.pos:]), jsontext.AllowInvalidUTF8(true))
	in.require(d.SkipValue() == nil)
	in.pos += int(d.InputOffset())
}

// each calls read for each element; null has none.
func (in *reader) each(first, last byte, read func()) {
	if in.failed || in.null() {
		return
	}
	in.require(in.take(first))
	if in.failed || in.take(last) {
		return
	}
	for read(); !in.failed && !in.take(last); read() {
		in.require(in.take(','))
	}
}

func (in *reader) name() []byte {
	name := in.text()
	in.require(name != nil && in.take(':'))
	return name
}

// text reads a string; null is empty.
func (in *reader) text() []byte {
	start := in.pos
	if in.null() || !in.take('"') {
		in.require(in.pos > start)
		return nil
	}
	plain := true
	for in.pos < len(in.src) && in.src[in.pos] != '"' {
		c := in.src[in.pos]
		in.require(c >= ' ')
		if plain = plain && c <= '~' && c != '\\'; c == '\\' {
			in.pos++
		}
		in.pos++
	}
	in.pos = min(in.pos, len(in.src))
	if in.require(in.take('"')); in.failed {
		return nil
	}
	if plain {
		return in.src[start+1 : in.pos-1]
	}
	in.require(jsontext.Value(in.src[start:in.pos]).IsValid(jsontext.AllowInvalidUTF8(true)))
	text, _ := jsontext.AppendUnquote(nil, in.src[start:in.pos]) // invalid UTF-8 becomes U+FFFD
	return text
}

func (in *reader) base64() []byte {
	if in.null() {
		return nil
	}
	in.require(in.take('"'))
	n, start := bytes.IndexByte(in.src[in.pos:], '"'), len(in.bytes)
	if in.require(n >= 0); in.failed {
		return nil
	}
	decoded, err := base64.StdEncoding.AppendDecode(in.bytes, in.src[in.pos:in.pos+n])
	in.require(err == nil && (len(decoded)-start+2)/3*4 == n) // the decoder skips line ends, which JSON does not allow
	in.pos += n + 1
	in.bytes = decoded
	return slices.Clip(decoded[start:])
}

// number reads a whole number of 64 bits, in quotes too, which some of AWS's own examples have. Kafka takes any as a timestamp,
// such as nanoseconds for milliseconds.
func (in *reader) number() (n int64) {
	quoted, negative, first := in.take('"'), in.take('-'), in.pos
	for in.pos < len(in.src) && in.src[in.pos]-'0' <= 9 {
		n = n*10 + int64(in.src[in.pos]-'0')
		in.pos++
	}
	digits := in.pos - first
	inRange := n >= 0 || negative && n == math.MinInt64 // n is negative from 2^63 on
	in.require(digits > 0 && digits <= 19 && inRange && (digits == 1 || in.src[first] != '0'))
	in.require(!quoted || in.take('"'))
	if negative {
		return -n
	}
	return n
}
