package trigger

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/sipeat/sipeat/shared/bus"
)

// plain reads a payload in the form in which AWS writes it: known members, no white space, no escapes, no null. It fails for
// any other form, which json reads. It is here for speed: with json alone a batch of 100 records takes twice as long as
// in Node, see BenchmarkPayload. All bytes and headers of the batch are in a few pieces of memory.
type plain struct {
	src     []byte
	pos     int // of what is next; no slice of the rest, whose assignments cost write barriers
	failed  bool
	bytes   []byte
	headers []bus.Header
	strings map[string]string
}

// decodePlain reports false for a payload in another form.
func decodePlain(b []byte) (p payload, ok bool) {
	// Four characters of base64 are three bytes, and a header's byte takes two characters at least.
	in := plain{src: b, bytes: make([]byte, 0, len(b)/4*3), strings: map[string]string{}}
	in.each('{', '}', func() {
		switch string(in.name()) {
		case "eventSource":
			p.Source = info(in.text())
		case "eventSourceArn":
			p.SourceARN = info(in.text())
		case "bootstrapServers":
			p.BootstrapServers = info(in.text())
		case "records":
			p.Records = records{slices.Grow(p.Records.list, bytes.Count(b, []byte(`{"topic":`))), true}
			in.each('{', '}', func() {
				in.name()
				in.each('[', ']', func() { p.Records.list = append(p.Records.list, in.record()) })
			})
		default:
			in.failed = true
		}
	})
	return p, !in.failed && len(bytes.Trim(b[in.pos:], " \t\r\n")) == 0
}

func (in *plain) record() bus.Record {
	r := record{Partition: none, Offset: none, Timestamp: none}
	in.each('{', '}', func() {
		switch string(in.name()) {
		case "topic":
			r.Topic = in.known(in.text())
		case "partition":
			r.Partition = in.number()
		case "offset":
			r.Offset = in.number()
		case "timestamp":
			r.Timestamp = in.number()
		case "timestampType":
			in.text()
		case "key":
			r.Key = in.base64()
		case "value":
			r.Value = in.base64()
		case "headers":
			first := len(in.headers)
			in.each('[', ']', func() {
				in.each('{', '}', func() {
					key, start := in.known(in.name()), len(in.bytes)
					in.each('[', ']', in.byte)
					in.headers = append(in.headers, bus.Header{Key: key, Value: in.bytes[start:len(in.bytes):len(in.bytes)]})
				})
			})
			if r.Headers = nil; len(in.headers) > first {
				r.Headers = in.headers[first:len(in.headers):len(in.headers)]
			}
		default:
			in.failed = true
		}
	})
	in.failed = in.failed || r.check() != ""
	return r.record()
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

// quoted cuts at the next quote: what is before it may have escapes and control characters.
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

func (in *plain) text() []byte {
	text := in.quoted()
	for _, c := range text {
		if c < ' ' || c > '~' || c == '\\' {
			in.failed = true
		}
	}
	return text
}

// known returns text as a string: the same few are in every record.
func (in *plain) known(text []byte) string {
	known, ok := in.strings[string(text)]
	if !ok {
		known = string(text)
		if len(in.strings) < 64 {
			in.strings[known] = known
		}
	}
	return known
}

func (in *plain) base64() []byte {
	text, start := in.quoted(), len(in.bytes)
	decoded, err := base64.StdEncoding.AppendDecode(in.bytes, text)
	n := len(decoded) - start
	if err != nil || (n+2)/3*4 != len(text) { // the decoder skips line ends, which are not allowed in JSON
		in.failed = true
		return nil
	}
	in.bytes = decoded
	return decoded[start:len(decoded):len(decoded)]
}

// number takes at most 18 digits, which an int64 holds.
func (in *plain) number() (n integer) {
	negative := in.take('-')
	first := in.pos
	for in.pos < len(in.src) && in.src[in.pos]-'0' <= 9 {
		n = n*10 + integer(in.src[in.pos]-'0')
		in.pos++
	}
	digits := in.pos - first
	in.failed = in.failed || digits == 0 || digits > 18 || digits > 1 && in.src[first] == '0'
	if negative {
		return -n
	}
	return n
}

func (in *plain) byte() {
	n := in.number()
	in.failed = in.failed || n < -128 || n > 255
	in.bytes = append(in.bytes, byte(n))
}
