package trigger_test

import (
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFaults(t *testing.T) {
	const id, at = `"topic":"t","partition":0,"offset":7`, "/records/t-0/1"
	const ends, noJSON, noBase64, noInteger, noByte = "ends in the middle", "not valid JSON", "not base64", "a whole number must",
		"from -128 to 255"
	broken := func(member string) string {
		record := ""
		for _, m := range []string{`"topic":"t",`, `"partition":0,`, `"offset":7,`} {
			if name, _, _ := strings.Cut(m, ":"); !strings.HasPrefix(member, name) {
				record += m
			}
		}
		return payload(`{`+id+`}`, `{`+record+member+`}`)
	}
	for _, c := range []struct{ payload, pointer, reason string }{
		{``, "", ends},
		{`{`, "", ends},
		{payload(`{` + id + `}`)[:60], "/records/t-0/0", ends},
		{payload() + payload(), "", noJSON},
		{payload() + "\x00", "", noJSON},
		{`records`, "", noJSON},

		{payload(`{`+id+`}`, `{"topic":"t","partition":0}`), at, "the record has no offset"},
		{payload(`{`+id+`}`, `{"topic":"t","offset":0}`), at, "the record has no partition"},
		{payload(`{`+id+`}`, `{"partition":0,"offset":0}`), at, "the record has no topic"},
		{payload(`{`+id+`}`, `null`), at, "the record has no topic"},
		{payload(`{`+id+`}`, `7`), at, "another JSON type"},
		{broken(`"value":"YQ==","value":null`), at + "/value", "twice"},
		{broken(`"offset":null`), at, "the record has no offset"},
		{broken(`"partition":null`), at, "the record has no partition"},
		{broken(`"topic":""`), at, "the record has no topic"},
		{broken(`"topic":5`), at + "/topic", "another JSON type"},
		{broken(`"offset":1e3`), at + "/offset", noInteger},
		{broken(`"offset":1.0`), at + "/offset", noInteger},
		{broken(`"offset":-1`), at, "the offset is not from 0 to"},
		{broken(`"offset":9223372036854775807`), at, "the offset is not from 0 to"},
		{broken(`"offset":18446744073709551617`), at + "/offset", noInteger},
		{broken(`"offset":07`), at, noJSON},
		{broken(`"offset":"07"`), at + "/offset", noInteger},
		{broken(`"offset":"seven"`), at + "/offset", noInteger},
		{broken(`"offset":"7`), at + "/offset", ends},
		{broken(`"partition":2147483648`), at, "the partition is not from 0 to 2147483647"},
		{broken(`"timestamp":18446744073709551615`), at + "/timestamp", noInteger},
		{broken(`"timestamp":true`), at + "/timestamp", noInteger},

		{broken(`"value":"a?=="`), at + "/value", noBase64},
		{broken(`"value":"YWJj YWJ"`), at + "/value", noBase64},
		{broken(`"value":"YWJj\nYWJj"`), at + "/value", "another JSON type"},
		{broken(`"value":"_-8A"`), at + "/value", noBase64},
		{broken("\"value\":\"YWJj\nYWJj\""), at + "/value", noJSON},
		{broken(`"value":"YWJj\xYWJj"`), at + "/value", noJSON},
		{broken(`"value":{}`), at + "/value", "another JSON type"},
		{broken(`"headers":[{"h":[1]},{"h":[256]}]`), at + "/headers/1", noByte},
		{broken(`"headers":[{"h":[-129]}]`), at + "/headers/0", noByte},
		{broken(`"headers":[{"h":[null]}]`), at + "/headers/0", noInteger},
		{broken(`"headers":[{"h":[1,02]}]`), at + "/headers/0", noJSON},
		{broken(`"headers":[{"h":"v"}]`), at + "/headers/0", "another JSON type"},
		{broken(`"headers":{"h":[1]}`), at + "/headers", "another JSON type"},
		{broken(`"x":[1,}`), at + "/x", noJSON},

		{`{"eventSource":"aws:kafka","records":{"a/b~c":{}}}`, "/records/a~1b~0c", "another JSON type"},
		{`{"eventSource":"aws:kafka","records":[{}]}`, "/records", "another JSON type"},
		{`{"eventSource":"aws:kafka"}`, "", "it has no records"},
		{`{"eventSource":"aws:kafka","records":null}`, "", "it has no records"},
		{`{"Records":[{"messageId":"1","body":"Ada","eventSource":"aws:sqs"}]}`, "", "another trigger invokes this function"},
		{`{"eventSource":"aws:sqs","records":{}}`, "", "another trigger invokes this function"},
		{`[{"topic":"t","partition":0,"offset":7,"eventSource":"aws:kafka"}]`, "", "another JSON type"},
	} {
		t.Run(c.payload, func(t *testing.T) {
			_, err := trigger.Decode([]byte(c.payload))
			fault := &trigger.PayloadError{}
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, c.pointer, fault.Pointer)
			assert.Contains(t, fault.Reason, c.reason)
			assert.LessOrEqual(t, fault.Offset, len(c.payload))
			assert.NotContains(t, err.Error(), "Ada", "it quotes nothing")
		})
	}
}

func TestFaultText(t *testing.T) {
	b := payload(`{"topic":"t","partition":0,"offset":7}`, `{"topic":"t","partition":0,"offset":"eight"}`)
	_, err := trigger.Decode([]byte(b))
	assert.EqualError(t, err, "the payload cannot be read as a batch of Kafka records (byte 120, /records/t-0/1/offset): "+
		"a whole number must be here; nothing of it was handled")
	_, err = trigger.Decode([]byte(`{"eventSource":"aws:kafka","records":{"` + strings.Repeat("t", 1_000_000) + `":5}}`))
	assert.Less(t, len(err.Error()), 300, "a name that no topic has")
}
