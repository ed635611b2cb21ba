package trigger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWhatCannotBeRead(t *testing.T) {
	const id = `"topic":"t","partition":0,"offset":7`
	const at = "/records/t-0/1"
	broken := func(record string) string { return payload(`{`+id+`}`, record) }
	for _, c := range []struct{ what, payload, pointer, says string }{
		{"nothing", ``, "", "it ends in the middle, where an object must stand"},
		{"an unfinished object", `{`, "", "a name"},
		{"an unfinished batch", payload(`{` + id + `}`)[:60], "/records/t-0/0/topic", "it ends in the middle"},
		{"two batches", payload() + payload(), "", "something stands behind its end"},
		{"a NUL behind it", payload() + "\x00", "", "something stands behind its end"},
		{"no JSON", `records`, "", "an object must stand here, not this"},

		{"no offset", broken(`{"topic":"t","partition":0}`), at, "the record has no offset"},
		{"no partition", broken(`{"topic":"t","offset":0}`), at, "the record has no partition"},
		{"no topic", broken(`{"partition":0,"offset":0}`), at, "the record has no topic"},
		{"an offset that is null", broken(`{` + id + `,"offset":null}`), at, "the record has no offset"},
		{"an empty topic", broken(`{"topic":""}`), at + "/topic", "the topic is empty"},
		{"a record that is null", broken(`null`), at, "an object must stand here, not null"},
		{"a topic that is a number", broken(`{"topic":5}`), at + "/topic", "text must stand here, not a number"},
		{"an offset with an exponent", broken(`{"offset":1e3}`), at + "/offset", "a fraction or an exponent"},
		{"an offset with a fraction", broken(`{"offset":1.0}`), at + "/offset", "a fraction or an exponent"},
		{"an offset below 0", broken(`{"offset":-1}`), at + "/offset", "is not from 0 to"},
		{"an offset that is too great", broken(`{"offset":9223372036854775807}`), at + "/offset", "is not from 0 to"},
		{"an offset that is far too great", broken(`{"offset":18446744073709551617}`), at + "/offset", "is not from 0 to"},
		{"an offset that begins with 0", broken(`{"offset":07}`), at + "/offset", "begins with 0"},
		{"an offset that is words", broken(`{"offset":"seven"}`), at + "/offset", "a whole number must stand here"},
		{"an offset that is half a text", broken(`{"offset":"7}`), at + "/offset", "a whole number must stand here"},
		{"a partition that is too great", broken(`{"partition":2147483648}`), at + "/partition", "is not from 0 to 2147483647"},
		{"a timestamp that is too great", broken(`{"timestamp":18446744073709551615}`), at + "/timestamp", "the number is not from"},
		{"a timestamp that is true", broken(`{"timestamp":true}`), at + "/timestamp", "a whole number must stand here, not true"},

		{"a value that is not base64", broken(`{` + id + `,"value":"a?=="}`), at + "/value", "it is not base64"},
		{"base64 cut short", broken(`{` + id + `,"value":"YWJj YWJ"}`), at + "/value", "it is not base64"},
		{"base64 for URLs", broken(`{` + id + `,"value":"_-8A"}`), at + "/value", "it is not base64"},
		{"a value over two lines", broken("{" + id + ",\"value\":\"YWJj\nYWJj\"}"), at + "/value", "a control character"},
		{"a value with a wrong escape", broken(`{` + id + `,"value":"YWJj\xYWJj"}`), at + "/value", "a wrong escape"},
		{"a value that is an object", broken(`{` + id + `,"value":{}}`), at + "/value", "text must stand here, not an object"},
		{"a header byte above 255", broken(`{` + id + `,"headers":[{"h":[1]},{"h":[256]}]}`), at + "/headers/1", "is not from -128 to 255"},
		{"a header byte below -128", broken(`{` + id + `,"headers":[{"h":[-129]}]}`), at + "/headers/0", "is not from -128 to 255"},
		{"a header byte that begins with 0", broken(`{` + id + `,"headers":[{"h":[1,02]}]}`), at + "/headers/0", "begins with 0"},
		{"a header byte that is none", broken(`{` + id + `,"headers":[{"h":[1,-]}]}`), at + "/headers/0", "a whole number must stand here"},
		{"a header that is text", broken(`{` + id + `,"headers":[{"h":"v"}]}`), at + "/headers/0", "a list must stand here, not text"},
		{"headers that are an object", broken(`{` + id + `,"headers":{"h":[1]}}`), at + "/headers", "a list must stand here, not an object"},
		{"an unknown member that is no JSON", broken(`{` + id + `,"x":[1,}`), at, "a value must stand here"},
		{"an unknown member with a number of none", broken(`{` + id + `,"x":-}`), at, "a value must stand here"},

		{"a list that is an object", `{"eventSource":"aws:kafka","records":{"a/b~c":{}}}`, "/records/a~1b~0c", "a list must stand here, not an object"},
		{"too deep", broken(`{` + id + `,"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`), at, "nested more than 512 deep"},
		{"no records", `{"eventSource":"aws:kafka"}`, "", "it has no records"},
		{"records that are null", `{"eventSource":"aws:kafka","records":null}`, "", "it has no records"},
		{"another source", `{"eventSource":"aws:sqs","records":{}}`, "", "its eventSource is none of aws:kafka, SelfManagedKafka"},
	} {
		t.Run(c.what, func(t *testing.T) {
			_, err := trigger.Decode([]byte(c.payload))
			fault := &trigger.PayloadError{}
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, c.pointer, fault.Pointer)
			assert.Contains(t, fault.Reason, c.says)
			assert.LessOrEqual(t, fault.Offset, len(c.payload))
		})
	}
}

func TestThePlaceOfAFault(t *testing.T) {
	good := `{"topic":"t","partition":0,"offset":7}`
	b := payload(good, `{"topic":"t","partition":0,"offset":"eight"}`)
	_, err := trigger.Decode([]byte(b))
	fault := &trigger.PayloadError{}
	require.True(t, errors.As(err, &fault))
	assert.Equal(t, strings.Index(b, "eight"), fault.Offset)
	assert.Equal(t, "the payload cannot be read as a batch of Kafka records (byte 121, /records/t-0/1/offset): "+
		"a whole number must stand here, not this; nothing of it was handled", err.Error())
}

func TestPayloadsOfOthers(t *testing.T) {
	for payload, looks := range map[string]string{
		`{"version":"2.0","routeKey":"POST /contacts","requestContext":{"http":{"method":"POST"}}}`: "a request from API Gateway",
		`{"resource":"/","httpMethod":"GET","requestContext":{}}`:                                   "a request from API Gateway",
		`{"Records":[{"messageId":"1","body":"Ada","eventSource":"aws:sqs"}]}`:                      "an event of SQS",
		`{"Records":[{"EventSource":"aws:sns","Sns":{}}]}`:                                          "an event of SNS",
		`{"Records":[{"eventSource":"aws:s3"}]}`:                                                    "an event of S3",
		`{"Records":[]}`:                                                                            "an event of another service",
		`{"version":"0","detail-type":"Scheduled Event","detail":{}}`:                               "an event from EventBridge",
		`{"invocationId":"1","records":[{"recordId":"1","data":"QWRh"}]}`:                           "a batch from Data Firehose",
		`[{"topic":"t","partition":0,"offset":7,"eventSource":"aws:kafka"}]`:                        "EventBridge Pipes",
		`{"name":"Ada"}`: "none of the events we know",
		`{}`:             "none of the events we know",
	} {
		_, err := trigger.Decode([]byte(payload))
		require.ErrorContains(t, err, looks)
		assert.NotContains(t, err.Error(), "Ada", "it quotes nothing")
	}
}
