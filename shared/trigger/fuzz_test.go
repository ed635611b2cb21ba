package trigger_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/require"
)

// FuzzDecode reads a payload with a space before it in the same way, although that is rewritten first. What was read is written
// and read again.
//
//	go test ./shared/trigger -run '^$' -fuzz FuzzDecode -fuzztime 60s
func FuzzDecode(f *testing.F) {
	examples, err := filepath.Glob("testdata/aws/*.json")
	require.NoError(f, err)
	for _, example := range examples {
		b, err := os.ReadFile(example)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte(payload(`{"topic":"t","partition":"3","offset":7,"timestamp":-1,"key":null,"value":"","headers":[{"é":[1,-1,` +
		`255],"b":null},null]}`)))
	f.Add([]byte(payload(`{"topic":"\ud800\n","partition":1,"offset":0,"value":"YQ\u003d\u003d","keySchemaMetadata":{"a":[1e5,` +
		`true,{}]}}`)))
	f.Add([]byte(payload(`{"topic":"t","partition":3,"offset":7,"timestamp":5,"timestampType":"CREATE_TIME","key":"YQ==",` +
		`"value":"YmM=","headers":[{"h":[1,-1,255]},{"e":[]}]}`)))
	f.Add([]byte(`{"eventSource":"SelfManagedKafka","bootstrapServers":"a:1","records":{"a":[],"b":[]}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		records, err := trigger.Decode(payload)
		if err != nil {
			return
		}
		rewritten, err := trigger.Decode(append([]byte(" "), payload...))
		if err == nil { // package json refuses a member that is there twice
			require.Equal(t, byPartition(rewritten), byPartition(records))
		}
		again, err := trigger.Decode(encode(records...))
		require.NoError(t, err)
		for i, r := range records {
			if r.Timestamp.IsZero() { // the millisecond that Go calls zero, in the year 1, is written as none
				records[i].Timestamp = time.Time{}
			}
		}
		require.Equal(t, byPartition(records), byPartition(again))
	})
}

type topicPartition struct {
	topic     string
	partition int32
}

// byPartition groups records by partition: the order of a payload's lists does not count.
func byPartition(records []bus.Record) map[topicPartition][]bus.Record {
	all := map[topicPartition][]bus.Record{}
	for _, r := range records {
		at := topicPartition{r.Topic, r.Partition}
		all[at] = append(all[at], r)
	}
	return all
}
