package events_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/stretchr/testify/assert"
)

func TestMask(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"dial tcp 10.0.0.7:9092: connection refused", "dial tcp 10.0.0.7:9092: connection refused"},
		{`name "Ada Lovelace" is taken`, `name "***" is taken`},
		{"ADA LOVELACE; ada lovel; (lovel)", "***; ***; (lovel)"},
		{"Bo, Bob and bo", "***, Bob and ***"},
		{"Żółć i żółw", "*** i żółw"},
		{"", ""},
	} {
		assert.Equal(t, c.want, events.Mask(c.text, "Ada Lovelace", "Bo", "Żółć", "x"), c.text)
	}
	long := events.Mask(strings.Repeat("z", 5000))
	assert.Less(t, len(long), 2010)
}

func TestMaskedStaysWhatItIs(t *testing.T) {
	t.Parallel()
	err := events.Masked(events.Wrap(events.Conflict, io.EOF, "Ada Lovelace is taken"), "Ada Lovelace")
	assert.EqualError(t, err, "*** is taken: EOF")
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, events.Conflict, events.KindOf(err))
	assert.NoError(t, events.Masked(nil, "x"))
	assert.Equal(t, errors.New("a").Error(), events.Masked(errors.New("a")).Error())
}

func TestSaid(t *testing.T) {
	t.Parallel()
	for document, want := range map[string][]string{
		`{"eventId":"e","eventType":"t","data":{"id":"i","name":"n","drinksList":["a","b"],"n":12,"o":{"p":true,"q":"r"}},"metadata":{"producer":"p"}}`: {"n", "a", "b", "12", "r"},
		`"text"`:        {"text"},
		`{"name":"cut`:  {`{"name":"cut`},
		`no JSON`:       {"no JSON"},
		`{"a":"b"} c`:   {`{"a":"b"} c`},
		``:              nil,
		`{"name":null}`: nil,
	} {
		assert.Equal(t, want, events.Said([]byte(document)), document)
	}
}
