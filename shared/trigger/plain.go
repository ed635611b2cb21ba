package trigger

import (
	"bytes"
	"encoding/base64"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// plain reads a payload in the form in which AWS writes it: known members, no white space, no escapes, no null. It fails for
// any other form, which package json reads. It is here for speed: by json alone the way from a payload to typed events takes
// three times as long as Node's JSON.parse, see BenchmarkPayload.
type plain struct {
	src     []byte
	pos     int // of what is next; slicing src instead would cost write barriers
	failed  bool
	bytes   []byte // of all records
	headers []bus.Header
	topic   string // the last one
	key     string // the last header's
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
			in.failed, found = in.failed || found, true
			if n := bytes.Count(b, []byte(`{"topic":`)); n > 0 {
				batch.Records = make([]bus.Record, 0, n)
			}
			in.each('{', '}', func() {
				in.name()
				in.each('[', ']', func() { batch.Records = append(batch.Records, in.record()) })
			})
		default:
			in.failed = true
		}
	})
	return batch, found && !in.failed && len(bytes.Trim(b[in.pos:], " \t\r\n")) == 0
}

func (in *plain) record() bus.Record {
	r := bus.Record{Partition: -1, Offset: -1}
	in.each('{', '}', func() {
		switch string(in.name()) {
		case "topic":
			r.Topic = again(&in.topic, in.text())
		case "partition":
			n := in.number()
			r.Partition, in.failed = int32(n), in.failed || int64(int32(n)) != n
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
			first := len(in.headers)
			in.each('[', ']', func() { in.each('{', '}', in.header) })
			if r.Headers = nil; len(in.headers) > first {
				r.Headers = in.headers[first:len(in.headers):len(in.headers)]
			}
		default:
			in.failed = true
		}
	})
	in.failed = in.failed || r.Topic == "" || r.Partition < 0 || r.Offset < 0
	return r
}

func (in *plain) header() {
	key, start := again(&in.key, in.name()), len(in.bytes)
	in.each('[', ']', func() {
		n := in.number()
		in.failed = in.failed || n < -128 || n > 255
		in.bytes = append(in.bytes, byte(n))
	})
	in.headers = append(in.headers, bus.Header{Key: key, Value: in.bytes[start:len(in.bytes):len(in.bytes)]})
}

// again returns text as a string, which the last one is mostly.
func again(last *string, text []byte) string {
	if *last != string(text) {
		*last = string(text)
	}
	return *last
}

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
	if in.failed = in.failed || !in.take(first); in.failed || in.take(last) {
		return
	}
	for read(); !in.failed && !in.take(last); read() {
		if !in.take(',') {
			in.failed = true
			return
		}
	}
}

func (in *plain) name() []byte {
	name := in.text()
	in.failed = in.failed || !in.take(':')
	return name
}

// text takes ASCII without escapes.
func (in *plain) text() []byte {
	text := in.quoted()
	for _, c := range text {
		in.failed = in.failed || c < ' ' || c > '~' || c == '\\'
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
	text := in.src[in.pos : in.pos+end]
	in.pos += end + 1
	return text
}

func (in *plain) base64() []byte {
	text, start := in.quoted(), len(in.bytes)
	decoded, err := base64.StdEncoding.AppendDecode(in.bytes, text)
	n := len(decoded) - start
	if err != nil || (n+2)/3*4 != len(text) { // the decoder skips line ends, which JSON does not allow
		in.failed = true
		return nil
	}
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
	in.failed = in.failed || digits == 0 || digits > 18 || digits > 1 && in.src[first] == '0'
	if negative {
		return -n
	}
	return n
}
