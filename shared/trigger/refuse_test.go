package trigger_test

import (
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDecodeRefuses(t *testing.T) {
	const id, at = `"topic":"t","partition":0,"offset":7`, "/records/t-0/1"
	const noJSON, wrongType, noRecord = "not valid JSON", "another JSON type", "a record must have"
	second := func(record string) string { return payload(`{`+id+`}`, record) }
	with := func(member string) string { return second(`{` + id + `,` + member + `}`) }
	at0 := func(member string) string { return second(`{"topic":"t","partition":0,` + member + `}`) }
	for _, c := range []struct{ payload, pointer, reason string }{
		{``, "", noJSON},
		{`{`, "", noJSON},
		{payload(`{` + id + `}`)[:60], "/records/t-0/0", noJSON},
		{payload() + payload(), "", noJSON},
		{payload() + "\x00", "", noJSON},
		{`records`, "", noJSON},

		{second(`{"topic":"t","partition":0}`), at, noRecord},
		{second(`{"topic":"t","offset":0}`), at, noRecord},
		{second(`{"partition":0,"offset":0}`), at, noRecord},
		{second(`null`), at, noRecord},
		{second(`{"topic":"","partition":0,"offset":7}`), at, noRecord},
		{second(`{"topic":"t","partition":2147483648,"offset":7}`), at, noRecord},
		{second(`7`), at, wrongType},
		{with(`"value":"YQ==","value":null`), at + "/value", noJSON},
		{second(`{"topic":5,"partition":0,"offset":7}`), at + "/topic", wrongType},
		{at0(`"offset":null`), at, noRecord},
		{at0(`"offset":-1`), at, noRecord},
		{at0(`"offset":9223372036854775807`), at, noRecord},
		{at0(`"offset":1e3`), at + "/offset", wrongType},
		{at0(`"offset":1.0`), at + "/offset", wrongType},
		{at0(`"offset":18446744073709551617`), at + "/offset", wrongType},
		{at0(`"offset":07`), at, noJSON},
		{at0(`"offset":"seven"`), at + "/offset", wrongType},
		{with(`"timestamp":true`), at + "/timestamp", wrongType},

		{with(`"value":"a?=="`), at + "/value", wrongType},
		{with(`"value":"YWJj YWJ"`), at + "/value", wrongType},
		{with(`"value":"YWJj\nYWJj"`), at + "/value", wrongType},
		{with(`"value":"_-8A"`), at + "/value", wrongType},
		{with("\"value\":\"YWJj\nYWJj\""), at + "/value", noJSON},
		{with(`"value":{}`), at + "/value", wrongType},
		{with(`"headers":[{"h":[256]}]`), at, noRecord},
		{with(`"headers":[{"h":[-129]}]`), at, noRecord},
		{with(`"headers":[{"h":[1,02]}]`), at + "/headers/0", noJSON},
		{with(`"headers":[{"h":"v"}]`), at + "/headers/0", wrongType},
		{with(`"headers":{"h":[1]}`), at + "/headers", wrongType},

		{`{"eventSource":"aws:kafka","records":{"a/b~c":{}}}`, "/records/a~1b~0c", wrongType},
		{`{"eventSource":"aws:kafka"}`, "", "it has no records"},
		{`{"eventSource":"aws:kafka","records":null}`, "", "it has no records"},
		{`{"Records":[{"messageId":"1","body":"Ada","eventSource":"aws:sqs"}]}`, "", "another trigger invokes this function"},
		{`{"eventSource":"aws:sqs","records":{}}`, "", "another trigger invokes this function"},
		{`[{"topic":"t","partition":0,"offset":7,"eventSource":"aws:kafka"}]`, "", wrongType},
	} {
		t.Run(c.payload, func(t *testing.T) {
			_, err := trigger.Decode([]byte(c.payload))
			fault := &trigger.PayloadError{}
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, c.pointer, fault.Pointer)
			assert.Contains(t, fault.Reason, c.reason)
			assert.NotContains(t, err.Error(), "Ada", "the payload is not quoted")
		})
	}
	_, err := trigger.Decode([]byte(at0(`"offset":"eight"`)))
	assert.EqualError(t, err, "the payload cannot be read as a batch of Kafka records at /records/t-0/1/offset: "+
		"a value of another JSON type, a whole number or base64 must be here; nothing of it was handled")
	_, err = trigger.Decode([]byte(`{"eventSource":"aws:kafka","records":{"` + strings.Repeat("t", 1_000_000) + `":5}}`))
	assert.Less(t, len(err.Error()), 300, "a name that no topic has")
}
