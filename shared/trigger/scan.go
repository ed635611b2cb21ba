package trigger

import (
	"encoding/json"
	"math"
)

// maxDepth bounds how deeply what we do not know may be nested; what we know is 6 deep.
const maxDepth = 512

// scanner reads JSON from front to back. It takes what encoding/json takes, down to bytes that are not UTF-8.
type scanner struct {
	src   []byte
	pos   int
	depth int
	at    place
}

// space skips what may stand between tokens and tells what comes next; 0 = the end.
func (s *scanner) space() byte {
	for s.pos < len(s.src) {
		switch c := s.src[s.pos]; c {
		case ' ', '\n', '\t', '\r':
			s.pos++
		default:
			return c
		}
	}
	return 0
}

// take skips one token of one character.
func (s *scanner) take(c byte, wanted string) error {
	if s.space() != c {
		return s.unexpected(wanted)
	}
	s.pos++
	return nil
}

// object gives the name of each member to read, which reads its value. The name is the scanner's again after the call.
func (s *scanner) object(read func(name []byte) error) error {
	return s.list('{', '}', "an object", func() error {
		if s.space() != '"' {
			return s.unexpected("a name")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		if err := s.take(':', "a colon"); err != nil {
			return err
		}
		return read(name)
	})
}

func (s *scanner) array(read func() error) error {
	return s.list('[', ']', "a list", read)
}

func (s *scanner) list(first, last byte, wanted string, read func() error) error {
	if err := s.take(first, wanted); err != nil {
		return err
	}
	if s.depth++; s.depth > maxDepth {
		return s.fault("it is nested more than %d deep", maxDepth)
	}
	defer func() { s.depth-- }()
	if s.space() == last {
		s.pos++
		return nil
	}
	for {
		if err := read(); err != nil {
			return err
		}
		switch s.space() {
		case ',':
			s.pos++
		case last:
			s.pos++
			return nil
		default:
			return s.unexpected("a comma or the end of the list")
		}
	}
}

// text reads a string. It is a part of the payload unless something in it must be decoded.
func (s *scanner) text() ([]byte, error) {
	start, plain := s.pos, true
	for s.pos++; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			if plain {
				return s.src[start+1 : s.pos-1], nil
			}
			var decoded string
			if json.Unmarshal(s.src[start:s.pos], &decoded) != nil {
				s.pos = start
				return nil, s.fault("a text has a wrong escape")
			}
			return []byte(decoded), nil
		case c == '\\':
			plain = false
			s.pos++
		case c < ' ':
			return nil, s.fault("a text has a control character")
		case c >= 0x80:
			plain = false // what is not UTF-8 is replaced
		}
	}
	return nil, s.unexpected("the end of a text")
}

// null skips a null, if it is one.
func (s *scanner) null() bool { return s.space() == 'n' && s.literal("null") == nil }

func (s *scanner) literal(word string) error {
	if len(s.src)-s.pos < len(word) || string(s.src[s.pos:s.pos+len(word)]) != word {
		return s.unexpected("a value")
	}
	s.pos += len(word)
	return nil
}

// integer reads a whole number from low to high; in quotes too, as AWS's own examples write some. One with a fraction or
// an exponent is refused: AWS writes none, and to guess an offset would be worse.
func (s *scanner) integer(low, high int64) (int64, error) {
	quoted := s.space() == '"'
	if quoted {
		s.pos++
	}
	start := s.pos
	negative := s.peek() == '-'
	if negative {
		s.pos++
	}
	first, n := s.pos, uint64(0)
	for ; '0' <= s.peek() && s.peek() <= '9'; s.pos++ {
		digit := uint64(s.src[s.pos] - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0, s.fault("the number is not from %d to %d", low, high)
		}
		n = n*10 + digit
	}
	digits := s.pos - first
	switch next := s.peek(); {
	case digits == 0:
		return 0, s.unexpected("a whole number")
	case next == '.' || next == 'e' || next == 'E':
		return 0, s.fault("a number with a fraction or an exponent is no whole number")
	case digits > 1 && s.src[first] == '0':
		return 0, s.fault("a number begins with 0")
	case quoted && next != '"':
		return 0, s.unexpected("a whole number")
	case quoted:
		s.pos++
	}
	value := int64(n)
	if negative {
		value = -value
	}
	if n > math.MaxInt64 || value < low || value > high {
		s.pos = start
		return 0, s.fault("the number is not from %d to %d", low, high)
	}
	return value, nil
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

// skip reads any value and forgets it.
func (s *scanner) skip() error {
	switch s.space() {
	case '{':
		return s.object(func([]byte) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	case '"':
		_, err := s.text()
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		return s.number()
	}
}

// number skips a number of any form.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return s.unexpected("a value")
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.unexpected("a digit")
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	start := s.pos
	for '0' <= s.peek() && s.peek() <= '9' {
		s.pos++
	}
	return s.pos > start
}
