package trigger_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/trigger"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzDecode sets Decode beside the same rules written over encoding/json: both refuse, or both read the same. What was
// read is written and read again.
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
	f.Add([]byte(`{"eventSource":"SelfManagedKafka","bootstrapServers":[],"records":{"a":null,"b":[]}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		batch, err := trigger.Decode(payload)
		require.Equal(t, before, payload)
		if err != nil {
			fault := &trigger.PayloadError{}
			require.ErrorAs(t, err, &fault)
			require.LessOrEqual(t, fault.Offset, len(payload))
		}
		if !comparable(payload) {
			return
		}
		want, refused := reference(payload)
		if refused != nil {
			require.Error(t, err, "encoding/json: %v", refused)
			return
		}
		require.NoError(t, err)
		again, err := trigger.Decode(batch.Encode())
		require.NoError(t, err)
		for _, b := range []*trigger.Batch{&want, &batch, &again} { // lists are read in any order
			slices.SortStableFunc(b.Records, func(x, y bus.Record) int { return cmp.Compare(fmt.Sprint(x), fmt.Sprint(y)) })
		}
		require.Equal(t, want, batch)
		if !hasZeroTime(batch) {
			sameRecords(t, batch, again)
		}
	})
}

// hasZeroTime: the millisecond that Go calls zero, in the year 1, is written as none.
func hasZeroTime(b trigger.Batch) bool {
	return slices.ContainsFunc(b.Records, func(r bus.Record) bool {
		return r.Timestamp.Equal(time.Time{}) &&
			r.Timestamp != time.Time{}
	})
}

// comparable leaves out what the reference, made of maps, sees differently: names that stand twice, deep nesting.
func comparable(payload []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(payload), jsontext.AllowInvalidUTF8(true))
	for {
		_, err := d.ReadToken()
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return false
		case err != nil:
			return true
		case d.StackDepth() > 500:
			return false
		}
	}
}

// sameRecords compares by partition: the writer puts each into one list.
func sameRecords(t *testing.T, a, b trigger.Batch) {
	t.Helper()
	split := func(records []bus.Record) map[string][]bus.Record {
		all := map[string][]bus.Record{}
		for _, r := range records {
			list := fmt.Sprint(r.Partition, r.Topic)
			all[list] = append(all[list], r)
		}
		return all
	}
	assert.Equal(t, split(a.Records), split(b.Records))
}

var errNo = errors.New("refused")

func reference(payload []byte) (b trigger.Batch, err error) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(payload, &top); err != nil {
		return b, err
	}
	_ = json.Unmarshal(top["eventSource"], &b.Source)
	_ = json.Unmarshal(top["eventSourceArn"], &b.SourceARN)
	_ = json.Unmarshal(top["bootstrapServers"], &b.BootstrapServers)
	if b.Source != "aws:kafka" && b.Source != "SelfManagedKafka" && b.Source != "aws:SelfManagedKafka" {
		return b, errNo
	}
	if len(top["records"]) == 0 || top["records"][0] != '{' {
		return b, errNo
	}
	err = inOrder(top["records"], func(_ string, list json.RawMessage) error {
		var records []map[string]json.RawMessage
		if err := json.Unmarshal(list, &records); err != nil {
			return err
		}
		for _, fields := range records {
			r, err := referenceRecord(fields)
			if err != nil {
				return err
			}
			b.Records = append(b.Records, r)
		}
		return nil
	})
	return b, err
}

func referenceRecord(fields map[string]json.RawMessage) (r bus.Record, err error) {
	if r.Topic, err = must[string](fields["topic"]); err != nil || r.Topic == "" {
		return r, errNo
	}
	partition, err := number(fields["partition"])
	if err != nil || partition < 0 || partition > 1<<31-1 {
		return r, errNo
	}
	r.Partition = int32(partition)
	if r.Offset, err = number(fields["offset"]); err != nil || r.Offset < 0 || r.Offset == 1<<63-1 {
		return r, errNo
	}
	if !null(fields["timestamp"]) {
		ms, err := number(fields["timestamp"])
		if err != nil || ms == -1<<63 {
			return r, errNo
		}
		r.Timestamp = time.UnixMilli(ms)
	}
	if r.Key, err = base64Text(fields["key"]); err != nil {
		return r, err
	}
	if r.Value, err = base64Text(fields["value"]); err != nil || null(fields["headers"]) {
		return r, err
	}
	headers, err := must[[]json.RawMessage](fields["headers"])
	for _, h := range headers {
		if null(h) {
			continue
		}
		first := len(r.Headers)
		err := inOrder(h, func(key string, list json.RawMessage) error {
			var value []byte
			if !null(list) {
				numbers, err := must[[]json.RawMessage](list)
				if err != nil {
					return err
				}
				value = []byte{}
				for _, raw := range numbers {
					n, err := number(raw)
					if err != nil || n < -128 || n > 255 {
						return errNo
					}
					value = append(value, byte(n))
				}
			}
			r.Headers = append(r.Headers, bus.Header{Key: key, Value: value})
			return nil
		})
		if err != nil {
			return r, err
		}
		slices.SortFunc(r.Headers[first:], func(x, y bus.Header) int { return cmp.Compare(x.Key, y.Key) }) // AWS writes one
	}
	return r, err
}

// inOrder gives the members of an object in the order in which they stand.
func inOrder(object json.RawMessage, each func(name string, value json.RawMessage) error) error {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errNo
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if err := each(name.(string), value); err != nil {
			return err
		}
	}
	return nil
}

func null(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

func must[T any](raw json.RawMessage) (v T, err error) {
	if null(raw) {
		return v, errNo
	}
	return v, json.Unmarshal(raw, &v)
}

func number(raw json.RawMessage) (int64, error) {
	n, err := must[json.Number](raw)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(n.String(), 10, 64)
}

func base64Text(raw json.RawMessage) ([]byte, error) {
	if null(raw) {
		return nil, nil
	}
	if raw[0] != '"' {
		return nil, errNo
	}
	return must[[]byte](raw)
}
