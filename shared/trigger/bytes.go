package trigger

import (
	"bytes"
	"encoding/base64"

	"github.com/sipeat/sipeat/shared/bus"
)

// base64 reads a text of base64, or null.
func (d *decoder) base64() ([]byte, error) {
	if d.null() {
		return nil, nil
	}
	if d.space() != '"' {
		return nil, d.unexpected("text")
	}
	start := d.pos
	if end := bytes.IndexByte(d.src[start+1:], '"'); end >= 0 {
		text := d.src[start+1 : start+1+end]
		// The decoder skips line ends, which have no place within a JSON text: then it is shorter than it should be.
		if decoded, err := d.decode(text); err == nil && (len(decoded)+2)/3*4 == len(text) {
			d.pos += end + 2
			return decoded, nil
		}
	}
	text, err := d.text() // it may have escapes: \/ and \u003d are common
	if err != nil {
		return nil, err
	}
	decoded, err := d.decode(text)
	if err != nil {
		d.pos = start
		return nil, d.fault("it is not base64")
	}
	return decoded, nil
}

func (d *decoder) decode(text []byte) ([]byte, error) {
	start := len(d.arena)
	n, err := base64.StdEncoding.Decode(d.arena[start:cap(d.arena)], text)
	if err != nil {
		return nil, err
	}
	d.arena = d.arena[:start+n]
	return d.arena[start : start+n : start+n], nil
}

// headerList reads a list of objects, of one member each, that are a header's key and its bytes.
func (d *decoder) headerList() ([]bus.Header, error) {
	d.at.header = -1
	defer func() { d.at.header = -1 }()
	if d.null() {
		return nil, nil
	}
	start := len(d.headers)
	err := d.array(func() error {
		d.at.header++
		if d.null() {
			return nil
		}
		return d.object(func(name []byte) error {
			key := d.known(name)
			value, err := d.numbers()
			d.headers = append(d.headers, bus.Header{Key: key, Value: value})
			return err
		})
	})
	if err != nil || len(d.headers) == start {
		return nil, err
	}
	return d.headers[start:len(d.headers):len(d.headers)], nil
}

// known is a header's key as a string: the same few stand in every record.
func (d *decoder) known(name []byte) string {
	for _, known := range d.names {
		if known == string(name) {
			return known
		}
	}
	key := string(name)
	if len(d.names) < 16 {
		d.names = append(d.names, key)
	}
	return key
}

// numbers reads a list of bytes written as numbers, or null.
func (d *decoder) numbers() ([]byte, error) {
	if d.null() {
		return nil, nil
	}
	if value, ok := d.plainNumbers(); ok {
		return value, nil
	}
	start := len(d.arena)
	err := d.array(func() error {
		n, err := d.integer(-128, 255)
		d.arena = append(d.arena, byte(n))
		return err
	})
	return d.arena[start:len(d.arena):len(d.arena)], err
}

// plainNumbers reads a list of bytes as AWS writes it, without white space, many times faster than what takes any form.
// Whatever it is not sure of it leaves as it was.
func (d *decoder) plainNumbers() ([]byte, bool) {
	if d.space() != '[' {
		return nil, false
	}
	src, i, arena := d.src, d.pos, d.arena
	for i++; i+4 < len(src); i++ {
		negative := src[i] == '-'
		if negative {
			i++
		}
		first, n := i, 0
		for ; i < first+3 && i < len(src) && src[i]-'0' <= 9; i++ {
			n = n*10 + int(src[i]-'0')
		}
		if negative {
			n = -n
		}
		if i == first || i == len(src) || i > first+1 && src[first] == '0' || n < -128 || n > 255 {
			return nil, false
		}
		arena = append(arena, byte(n))
		switch src[i] {
		case ',':
		case ']':
			value := arena[len(d.arena):len(arena):len(arena)]
			d.pos, d.arena = i+1, arena
			return value, true
		default:
			return nil, false
		}
	}
	return nil, false
}
