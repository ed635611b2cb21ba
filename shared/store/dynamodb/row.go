package dynamodb

import (
	"encoding/binary"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Rows are encoded by hand: the SDK's attributevalue package uses reflection, and would be one more package to link.

type row = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func data(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// An absent attribute, or one of another type, reads as the zero value.

func textOf(v types.AttributeValue) string {
	if s, ok := v.(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

func dataOf(v types.AttributeValue) []byte {
	if b, ok := v.(*types.AttributeValueMemberB); ok {
		return b.Value
	}
	return nil
}

func numberOf(v types.AttributeValue) int64 {
	if n, ok := v.(*types.AttributeValueMemberN); ok {
		i, _ := strconv.ParseInt(n.Value, 10, 64)
		return i
	}
	return 0
}

// labels are the indexes that list items by a label. The last is the most selective.
var labels = []struct {
	index string
	of    func(store.Labels) string
}{
	{kindIndex, func(l store.Labels) string { return l.Type }},
	{countryIndex, func(l store.Labels) string { return l.Country }},
	{cityIndex, func(l store.Labels) string { return l.City }},
	{machineIndex, func(l store.Labels) string { return l.MachineID }},
}

func rowOf(item store.Item) row {
	r := row{
		pk: text(itemKey(item.Type, item.ID)), sk: data(noSortKey), at: data(when(item.CreatedAt, item.ID)),
		listIndex: text(join(item.Type)),
		"type":    text(item.Type), "event": text(item.EventID), "digest": data(item.Digest[:]), "data": text(string(item.Data)),
	}
	folded := item.Labels.Folded()
	for _, l := range labels {
		if label := l.of(folded); label != "" {
			r[l.index] = text(join(item.Type, label))
		}
	}
	return r
}

func itemOf(r row) (store.Item, error) {
	when, digest := dataOf(r[at]), dataOf(r["digest"])
	if len(when) < 8 || len(digest) != 32 {
		return store.Item{}, events.Errorf(events.Unavailable, "the row %q is no item of this version", textOf(r[pk]))
	}
	created, id := fromWhen(when)
	return store.Item{
		Type: textOf(r["type"]), ID: id, EventID: textOf(r["event"]), CreatedAt: created, Data: []byte(textOf(r["data"])),
		Digest: [32]byte(digest),
	}, nil
}

// Partition keys are texts that are readable in the AWS console: the version of the layout and parts joined by slashes.
// Slashes in a part are escaped (but for the last part), so that no two lists of parts are one key. Sort keys are bytes,
// because they order things. The longest of each, with store.MaxID and store.FoldedBytes, are 1554 and 770 bytes; DynamoDB
// takes 2048 and 1024 (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html).

// layout is the version of the rows. Another version is another read model: build it beside this one.
const layout = "1"

const (
	demandKey = layout + "/demand"
	marksKey  = layout + "/marks"
)

// noSortKey is the sort key of a row that has its partition key to itself.
var noSortKey = []byte("-")

func keyOf(partition string, sort []byte) row { return row{pk: text(partition), sk: data(sort)} }

var escape = strings.NewReplacer("~", "~0", "/", "~1")

func join(parts ...string) string {
	var b strings.Builder
	b.WriteString(layout)
	for i, p := range parts {
		b.WriteByte('/')
		if i < len(parts)-1 {
			p = escape.Replace(p)
		}
		b.WriteString(p)
	}
	return b.String()
}

func itemKey(eventType, id string) string { return join("item", eventType, id) }

// when is the sort key of lists: milliseconds, then the id.
func when(created time.Time, id string) []byte {
	return append(milli(created.UnixMilli()), id...)
}

// milli orders negative numbers, which are times before 1970, below the others.
func milli(ms int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(ms)^1<<63) }

func fromWhen(b []byte) (created time.Time, id string) {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) ^ 1<<63)).UTC(), string(b[8:])
}

// ordered joins texts so that the bytes have the order of the list of texts, for any content: UTF-8 has no byte above 0xF4,
// so each is moved up by one, and 0 ends a text.
func ordered(texts ...string) (b []byte) {
	for _, t := range texts {
		for i := range len(t) {
			b = append(b, t[i]+1)
		}
		b = append(b, 0)
	}
	return b
}

func counterKey(k store.DemandKey) []byte { return ordered(k.Country, k.City, k.Drink) }

// counterRow is the sort key of row n of a counter, in the table or in an index: the rows are neighbours, the first of them with
// the counter's own key.
func counterRow(key []byte, n byte) []byte {
	if n == 0 {
		return key
	}
	return append(key, n)
}

// pastCounter is the sort key behind all rows of a counter.
func pastCounter(key []byte) []byte { return counterRow(key, 0xFF) }
