package trigger

import (
	"bytes"
	"encoding/base64"
	"math"
	"slices"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// plain reads a payload in the form in which AWS writes it: known members, no white space, no escapes, no null. It fails for
// any other form, which package json reads. It is here for speed: by json alone the way from a payload to typed events takes
// twice as long as by Node's JSON.parse; BenchmarkPayload compares the two readers.
type plain struct {
	src    []byte
	pos    int // of what is next
	failed bool
	bytes  []byte // keys, values and headers of all records
}

// decodePlain reports false for a payload in another form.
func decodePlain(b []byte) (batch Batch, ok bool) {
	// Four characters of base64 are three bytes, and a header's byte takes two characters at least.
	in, found := plain{src: b, bytes: make([]byte, 0, len(b)/4*3)}, false
	in.each('{', '}', func() {
		switch string(in.name()) {
		case "eventSource":
			batch.Source = string(in.text())
		case "eventSourceArn":
			batch.SourceARN = string(in.text())
		case "bootstrapServers":
			batch.BootstrapServers = string(in.text())
		case "records":
			in.require(!found)
			found = true
			batch.Records = slices.Grow(batch.Records, bytes.Count(b, []byte(`"topic":`)))
			in.each('{', '}', func() {
				in.name()
				in.each('[', ']', func() { batch.Records = append(batch.Records, in.record()) })
			})
		default:
			in.failed = true
		}
	})
	return batch, found && !in.failed && in.pos == len(b)
}

func (in *plain) record() bus.Record {
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
			r.Timestamp = time.UnixMilli(in.number())
		case "timestampType":
			in.text()
		case "key":
			r.Key = in.base64()
		case "value":
			r.Value = in.base64()
		case "headers":
			in.require(r.Headers == nil)
			in.each('[', ']', func() { in.each('{', '}', func() { r.Headers = append(r.Headers, in.header()) }) })
		default:
			in.failed = true
		}
	})
	in.require(r.Topic != "" && r.Partition >= 0 && r.Offset >= 0)
	return r
}

func (in *plain) header() bus.Header {
	key, start := string(in.name()), len(in.bytes)
	in.each('[', ']', func() {
		n := in.number()
		in.require(n >= math.MinInt8 && n <= math.MaxUint8)
		in.bytes = append(in.bytes, byte(n))
	})
	return bus.Header{Key: key, Value: in.bytes[start:len(in.bytes):len(in.bytes)]}
}

func (in *plain) require(ok bool) { in.failed = in.failed || !ok }

// take reads c if it is next.
func (in *plain) take(c byte) bool {
	if in.pos == len(in.src) || in.src[in.pos] != c {
		return false
	}
	in.pos++
	return true
}

// each calls read for each element.
func (in *plain) each(first, last byte, read func()) {
	in.require(in.take(first))
	if in.failed || in.take(last) {
		return
	}
	for read(); !in.failed && !in.take(last); read() {
		in.require(in.take(','))
	}
}

func (in *plain) name() []byte {
	name := in.text()
	in.require(in.take(':'))
	return name
}

// text reads ASCII without escapes.
func (in *plain) text() []byte {
	text := in.quoted()
	for _, c := range text {
		in.require(c >= ' ' && c <= '~' && c != '\\')
	}
	return text
}

// quoted reads up to the next quote.
func (in *plain) quoted() []byte {
	end := -1
	if in.take('"') {
		end = bytes.IndexByte(in.src[in.pos:], '"')
	}
	if end < 0 {
		in.failed = true
		return nil
	}
	in.pos += end + 1
	return in.src[in.pos-end-1 : in.pos-1]
}

func (in *plain) base64() []byte {
	text, start := in.quoted(), len(in.bytes)
	decoded, err := base64.StdEncoding.AppendDecode(in.bytes, text)
	n := len(decoded) - start
	in.require(err == nil && (n+2)/3*4 == len(text)) // the decoder skips line ends, which JSON does not allow
	in.bytes = decoded
	return decoded[start:len(decoded):len(decoded)]
}

// number takes at most 18 digits, which an int64 holds.
func (in *plain) number() (n int64) {
	negative, first := in.take('-'), in.pos
	for in.pos < len(in.src) && in.src[in.pos]-'0' <= 9 {
		n = n*10 + int64(in.src[in.pos]-'0')
		in.pos++
	}
	digits := in.pos - first
	in.require(digits > 0 && digits <= 18 && (digits == 1 || in.src[first] != '0'))
	if negative {
		return -n
	}
	return n
}
