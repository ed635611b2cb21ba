package dynamodb

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/store"
)

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
