package trigger_test

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// payload is a batch of MSK with these records in its only list.
func payload(records ...string) string {
	return `{"eventSource":"aws:kafka","records":{"t-0":[` + strings.Join(records, ",") + `]}}`
}

// TestDecodeRecord lists the forms of a record, and the decoded results. t, 0 and 7 are its topic, partition and offset.
func TestDecodeRecord(t *testing.T) {
	const id = `"topic":"t","partition":0,"offset":7`
	same := bus.Record{Topic: "t", Offset: 7}
	with := func(change func(*bus.Record)) bus.Record {
		r := same
		change(&r)
		return r
	}
	texts := func(key, value string) bus.Record {
		return bus.Record{Topic: "t", Offset: 7, Key: []byte(key), Value: []byte(value)}
	}
	headers := func(h ...bus.Header) bus.Record { return with(func(r *bus.Record) { r.Headers = h }) }
	for _, c := range []struct {
		what, record string
		want         bus.Record
	}{
		{"nothing but its place", `{` + id + `}`, same},
		{"members in another order", `{"offset":7,"partition":0,"topic":"t"}`, same},
		{"white space", " \r\n\t{ \"topic\" :\t\"t\" ,\n\"partition\": 0 , \"offset\" : 7 } ", same},
		{"numbers as text", `{"topic":"t","partition":"0","offset":"7","timestamp":"5"}`,
			with(func(r *bus.Record) { r.Timestamp = time.UnixMilli(5) })},
		{"a great offset", `{"topic":"t","partition":2147483647,"offset":9223372036854775806}`,
			bus.Record{Topic: "t", Partition: 2147483647, Offset: 9223372036854775806}},
		{"a timestamp in nanoseconds", `{` + id + `,"timestamp":1719400000000000000}`,
			with(func(r *bus.Record) { r.Timestamp = time.UnixMilli(1719400000000000000) })},
		{"timestamp", `{` + id + `,"timestamp":1545084650987,"timestampType":"LOG_APPEND_TIME"}`,
			with(func(r *bus.Record) { r.Timestamp = time.UnixMilli(1545084650987) })},
		{"no timestamp", `{` + id + `,"timestamp":null}`, same},
		{"the lowest timestamp", `{` + id + `,"timestamp":-9223372036854775808}`,
			with(func(r *bus.Record) { r.Timestamp = time.UnixMilli(math.MinInt64) })},
		{"Kafka's word for no timestamp", `{` + id + `,"timestamp":-1}`,
			with(func(r *bus.Record) { r.Timestamp = time.UnixMilli(-1) })},

		{"key and value", `{` + id + `,"key":"YQ==","value":"YmM="}`, texts("a", "bc")},
		{"key and value null", `{` + id + `,"key":null,"value":null}`, same},
		{"key and value empty", `{` + id + `,"key":"","value":""}`, texts("", "")},
		{"bytes that are no text", `{` + id + `,"key":"","value":"/+8A"}`, texts("", "\xff\xef\x00")},
		{"base64 as Gson and PHP escape it", `{` + id + `,"key":"YQ\u003d\u003D","value":"\/+8A"}`, texts("a", "\xff\xef\x00")},

		{"no headers", `{` + id + `,"headers":[]}`, same},
		{"headers null", `{` + id + `,"headers":null}`, same},
		{"header bytes signed", `{` + id + `,"headers":[{"h":[118,-36,0,127,-128]}]}`, headers(bus.Header{Key: "h", Value: []byte{118,
			220, 0, 127, 128}})},
		{"header bytes unsigned", `{` + id + `,"headers":[{"h":[118,220,0,127,128,255]}]}`, headers(bus.Header{Key: "h",
			Value: []byte{118, 220, 0, 127, 128, 255}})},
		{"header empty, null, and none", `{` + id + `,"headers":[{"e":[]},{"n":null},{},null,{"":[1]}]}`,
			headers(bus.Header{Key: "e", Value: []byte{}}, bus.Header{Key: "n"}, bus.Header{Value: []byte{1}})},
		{"a header twice", `{` + id + `,"headers":[{"h":[1]},{"g":[2]},{"h":[3]}]}`,
			headers(bus.Header{Key: "h", Value: []byte{1}}, bus.Header{Key: "g", Value: []byte{2}}, bus.Header{Key: "h",
				Value: []byte{3}})},
		{"white space in a header", `{` + id + `,"headers":[ { "h" : [ 1 , 2 ] } ]}`, headers(bus.Header{Key: "h", Value: []byte{1,
			2}})},
		{"escapes in texts and names", `{"t\u006fpic":"\u0074","partition":0,"offset":7,"headers":[{"\u00e9\n":[1]},{"é":[2]}]}`,
			headers(bus.Header{Key: "é\n", Value: []byte{1}}, bus.Header{Key: "é", Value: []byte{2}})},

		{"invalid UTF-8 is replaced, as encoding/json does", `{` + id + `,"headers":[{"` + "a\xffb\xe9" + `":[1]}]}`,
			headers(bus.Header{Key: "a\uFFFDb\uFFFD", Value: []byte{1}})},

		{"members of schema registries, and any other", `{` + id + `,"keySchemaMetadata":{"dataFormat":"AVRO","schemaId":"1"},
			"valueSchemaMetadata":{"schemaId":["a",{"b":[]}],"x":{}},"n":-0.5e+10,"t":true,"f":false,"nil":null,
			"text":"\"\\\/\b\u00e9 é","empty":[]}`, same},
	} {
		t.Run(c.what, func(t *testing.T) {
			records, err := trigger.Decode([]byte(payload(c.record)))
			require.NoError(t, err)
			assert.Equal(t, []bus.Record{c.want}, records)
		})
	}
}

func TestDecodeBatch(t *testing.T) {
	at := func(topic string, partition int32, offset int64) bus.Record {
		return bus.Record{Topic: topic, Partition: partition, Offset: offset}
	}
	a, b := `{"topic":"t","partition":0,"offset":1}`, `{"topic":"u","partition":5,"offset":2}`
	two := []bus.Record{at("t", 0, 1), at("u", 5, 2)}
	for _, c := range []struct {
		what, payload string
		want          []bus.Record
	}{
		{"several topics and partitions", `{"eventSource":"aws:kafka","records":{"t-0":[` + a + `],"u-5":[` + b + `]}}`, two},
		{"the list's name is ignored", `{"eventSource":"aws:kafka","records":{"x-9":[` + a + `,` + b + `]}}`, two},
		{"empty lists", `{"records":{"t-0":[` + a + `],"n":null,"e":[],"u-5":[` + b + `]},"eventSource":"aws:kafka"}`, two},
		{"self-managed", `{"eventSource":"SelfManagedKafka","bootstrapServers":"a:1,b:2","records":{}}`, nil},
		{"self-managed by its other name", `{"eventSource":"aws:SelfManagedKafka","records":{}}`, nil},
		{"members in another order, and unknown ones",
			"\n{\"new\":[{\"records\":{}}],\"records\":{},\"eventSourceArn\":\"arn\",\"eventSource\":\"aws:kafka\"}\n", nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			records, err := trigger.Decode([]byte(c.payload))
			require.NoError(t, err)
			assert.Equal(t, c.want, records)
		})
	}
}

// The unchanged examples of AWS's documentation and libraries.
func TestDecodeAWSExamples(t *testing.T) {
	for name, want := range map[string]bus.Record{
		"msk": {Topic: "mytopic", Offset: 15, Timestamp: time.UnixMilli(1545084650987), Value: []byte("Hello, this is a test."),
			Headers: []bus.Header{{Key: "headerKey", Value: []byte("headerValue")}}},
		"self-managed": {Topic: "mytopic", Offset: 15, Timestamp: time.UnixMilli(1545084650987),
			Value:   []byte("Hello, this is a test."),
			Headers: []bus.Header{{Key: "headerKey", Value: []byte("headerValue")}}},
		"aws-lambda-go": {Topic: "AWSKafkaTopic", Timestamp: time.UnixMilli(1595035749700),
			Key: []byte("8d5596b4-1813-4238-b24b-6dad8e3d1c0c"), Value: []byte("8d5596b4-1813-4238-b24b-6dad8e3d1c0c"),
			Headers: []bus.Header{{Key: "headerKey", Value: []byte{118, 220, 0, 127, 128}}}},
	} {
		t.Run(name, func(t *testing.T) {
			example, err := os.ReadFile(filepath.Join("testdata", "aws", name+".json"))
			require.NoError(t, err)
			records, err := trigger.Decode(example)
			require.NoError(t, err)
			require.Len(t, records, 1)
			if name == "msk" { // its key is no text
				assert.Len(t, records[0].Key, 22)
				want.Key = records[0].Key
			}
			assert.Equal(t, want, records[0])
		})
	}
}

// A payload may be used again, and a batch does not change with it.
func TestBatchSharesNoMemory(t *testing.T) {
	b := []byte(payload(`{"topic":"t","partition":0,"offset":7,"key":"YQ==","value":"YmM=","headers":[{"h":[1]}]}`))
	before := string(b)
	records, err := trigger.Decode(b)
	require.NoError(t, err)
	assert.Equal(t, before, string(b))
	clear(b)
	r := &records[0]
	r.Key = append(r.Key, "xyz"...) // must not reach into the value
	assert.Equal(t, "bc", string(r.Value))
	assert.Equal(t, []bus.Header{{Key: "h", Value: []byte{1}}}, r.Headers)
	assert.Equal(t, "t", r.Topic)
}

func TestDecodeRefuses(t *testing.T) {
	const id = `"topic":"t","partition":0,"offset":7`
	const noJSON, noRecord, other = "not valid JSON", "a record has", "another trigger invokes this function"
	with := func(member string) string { return payload(`{`+id+`}`, `{`+id+`,`+member+`}`) }
	at := func(place string) string { return payload(`{`+id+`}`, `{`+place+`}`) }
	for _, c := range []struct{ payload, says string }{
		{``, noJSON},
		{payload(`{` + id + `}`)[:60], noJSON},
		{payload() + payload(), noJSON},
		{with(`"timestamp":1,"value":"YWJj` + "\n" + `YWJj"`), noJSON},
		{at(`"topic":"t","partition":0,"offset":07`), noJSON},
		{with(`"headers":[{"h":[1,02]}]`), noJSON},
		{with(`"headers":[{"h\q":[1]}]`), noJSON},
		{with(`"headers":[{null:[1]}]`), noJSON},

		{at(`"topic":"t","partition":0`), noRecord},
		{at(`"topic":"t","offset":0`), noRecord},
		{at(`"partition":0,"offset":0`), noRecord},
		{payload(`null`), noRecord},
		{payload(`7`), noRecord},
		{at(`"topic":"","partition":0,"offset":7`), noRecord},
		{at(`"topic":5,"partition":0,"offset":7`), noRecord},
		{at(`"topic":"t","partition":2147483648,"offset":7`), noRecord},
		{at(`"topic":"t","partition":0,"offset":null`), noRecord},
		{at(`"topic":"t","partition":0,"offset":-1`), noRecord},
		{at(`"topic":"t","partition":0,"offset":9223372036854775807`), noRecord},
		{at(`"topic":"t","partition":0,"offset":1e3`), noRecord},
		{at(`"topic":"t","partition":0,"offset":"Ada"`), noRecord},
		{with(`"timestamp":true`), noRecord},
		{with(`"value":"a?=="`), noRecord},
		{with(`"value":"YWJj\nYWJj"`), noRecord},
		{with(`"value":"_-8A"`), noRecord},
		{with(`"value":{}`), noRecord},
		{with(`"headers":[{"h":[256]}]`), noRecord},
		{with(`"headers":[{"h":[-129]}]`), noRecord},
		{with(`"headers":[{"h":"v"}]`), noRecord},
		{`{"eventSource":"aws:kafka","records":{"a":{}}}`, noRecord},
		{`[{"topic":"t","partition":0,"offset":7,"eventSource":"aws:kafka"}]`, noRecord},

		{`{"eventSource":"aws:kafka"}`, "it has no records"},
		{`{"eventSource":"aws:kafka","records":null}`, "it has no records"},
		{`{"Records":[{"messageId":"1","body":"Ada","eventSource":"aws:sqs"}]}`, other},
		{`{"eventSource":"aws:sqs","records":{}}`, other},
	} {
		_, err := trigger.Decode([]byte(c.payload))
		require.ErrorContains(t, err, c.says, c.payload)
		assert.NotContains(t, err.Error(), "Ada", "the payload is not quoted")
	}
}
