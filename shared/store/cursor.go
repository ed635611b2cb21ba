package store

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// A cursor is base64url of a tag and the position after which the next page begins. The tag is a hash of the query and the
// position: it detects a cursor of another query and one that was cut or changed. It is not a secret. A cursor is good in
// every read model, so it outlives a switch to a rebuilt one.
const tagBytes = 12

// Position is a place in a list: after the item with this time and id.
type Position struct {
	CreatedAt time.Time
	ID        string
}

// Next is the cursor of the page after last.
func (q Query) Next(last Item) string {
	return seal(q.identity(), binary.BigEndian.AppendUint64(nil, uint64(last.CreatedAt.UnixMilli())), []byte(last.ID))
}

// Start returns where the page begins; ok is false for the first page. A Cursor that Next did not make for this query is
// Invalid.
func (q Query) Start() (at Position, ok bool, err error) {
	if q.Cursor == "" {
		return Position{}, false, nil
	}
	fields, err := open(q.Cursor, q.identity(), 2)
	if err != nil {
		return Position{}, false, err
	}
	if len(fields[0]) != 8 {
		return Position{}, false, badCursor()
	}
	ms := int64(binary.BigEndian.Uint64(fields[0]))
	return Position{CreatedAt: time.UnixMilli(ms).UTC(), ID: string(fields[1])}, true, nil
}

// Next is the cursor of the page after last.
func (q DemandQuery) Next(last DemandKey) string {
	return seal(q.identity(), []byte(last.Country), []byte(last.City), []byte(last.Drink))
}

// Start returns where the page begins; ok is false for the first page. A Cursor that Next did not make for this query is
// Invalid.
func (q DemandQuery) Start() (at DemandKey, ok bool, err error) {
	if q.Cursor == "" {
		return DemandKey{}, false, nil
	}
	fields, err := open(q.Cursor, q.identity(), 3)
	if err != nil {
		return DemandKey{}, false, err
	}
	return DemandKey{Country: string(fields[0]), City: string(fields[1]), Drink: string(fields[2])}, true, nil
}

// identity is equal for queries of the same list.
func (q Query) identity() []byte {
	m := q.Match.Folded()
	since := []byte{}
	if ms, bounded := q.SinceMilli(); bounded {
		since = binary.BigEndian.AppendUint64(since, uint64(ms))
	}
	return pack([]byte("list"), []byte(q.Type), []byte(m.City), []byte(m.Country), []byte(m.MachineID), []byte(m.Type), since)
}

func (q DemandQuery) identity() []byte {
	return pack([]byte("demand"), []byte(Fold(q.Country)), []byte(Fold(q.City)))
}

func seal(identity []byte, fields ...[]byte) string {
	position := pack(fields...)
	return base64.RawURLEncoding.EncodeToString(append(tag(identity, position), position...))
}

func open(cursor string, identity []byte, fields int) ([][]byte, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < tagBytes || string(raw[:tagBytes]) != string(tag(identity, raw[tagBytes:])) {
		return nil, badCursor()
	}
	out := make([][]byte, 0, fields)
	for rest := raw[tagBytes:]; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return nil, badCursor()
		}
		out, rest = append(out, rest[size:size+int(n)]), rest[size+int(n):]
	}
	if len(out) != fields {
		return nil, badCursor()
	}
	return out, nil
}

func badCursor() error {
	return &events.Error{Kind: events.Invalid, Message: "the cursor does not belong to this query", Fields: []events.FieldError{{
		Pointer: "/cursor",
		Detail:  "does not belong to this query: use the cursor of the previous page with the same filters, or start without one",
	}}}
}

// pack joins fields so that no two lists of fields give the same bytes.
func pack(fields ...[]byte) []byte {
	var b []byte
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

func tag(identity, position []byte) []byte {
	sum := sha256.Sum256(pack(identity, position))
	return sum[:tagBytes]
}
