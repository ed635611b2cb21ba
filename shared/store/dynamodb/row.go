package dynamodb

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/store"
)

// row is an item as it is written. It is made before the item is queued, by the caller's own time, and shares no memory that
// the caller may change after an early return.
type row struct {
	item   store.Item
	folded store.Labels
	values key // what is the same in every generation
	wishes []store.Wish
	size   int // about, in bytes
}

func newRow(item store.Item) (*row, error) {
	if err := item.Check(); err != nil {
		return nil, err
	}
	l := item.Labels
	r := &row{item: item, folded: l.Folded(), wishes: item.Wishes()}
	r.values = key{
		sk: data(alone), at: data(when(item.CreatedAt, item.ID)),
		"type": text(item.Type), "event": text(item.EventID), "digest": data(item.Digest[:]), "data": payload(item.Data),
	}
	r.size = 1024 + len(item.Data) + len(item.ID)*3 + len(item.Type)*6 + len(item.EventID)
	for name, label := range map[string]string{"shownCity": l.City, "shownCountry": l.Country, "machineId": l.MachineID, "label": l.Type} {
		if label != "" {
			r.values[name] = text(label)
			r.size += 2 * len(label)
		}
	}
	if len(item.Drinks) > 0 {
		drinks := make([]types.AttributeValue, len(item.Drinks))
		for i, d := range item.Drinks {
			drinks[i] = text(d)
			r.size += len(d) + 8
		}
		r.values["drinks"] = &types.AttributeValueMemberL{Value: drinks}
	}
	r.item.Data, r.item.Drinks = nil, nil // the caller's
	return r, nil
}

// payload is kept byte for byte. It is a text where it can be, for those who look into the table.
func payload(b json.RawMessage) types.AttributeValue {
	if utf8.Valid(b) {
		return text(string(b))
	}
	return data(append([]byte{}, b...))
}

// in is the whole row of a generation.
func (r *row) in(generation int) key {
	t, f := r.item.Type, r.folded
	out := make(key, len(r.values)+6)
	for name, v := range r.values {
		out[name] = v
	}
	out[pk] = text(itemKey(generation, t, r.item.ID))
	out[listIndex] = text(join(generation, t))
	for index, label := range map[string]string{cityIndex: f.City, countryIndex: f.Country, machineIndex: f.MachineID, kindIndex: f.Type} {
		if label != "" {
			out[index] = text(join(generation, t, label))
		}
	}
	return out
}

func fromRow(v key) (store.Item, error) {
	created, id, err := fromWhen(dataOf(v[at]))
	digest := dataOf(v["digest"])
	if err != nil || len(digest) != 32 {
		return store.Item{}, fmt.Errorf("the row %q is no item of this version (%d bytes of digest): %w", textOf(v[pk]), len(digest), err)
	}
	item := store.Item{
		Type: textOf(v["type"]), ID: id, EventID: textOf(v["event"]), CreatedAt: created, Data: dataOf(v["data"]), Digest: [32]byte(digest),
		Labels: store.Labels{City: textOf(v["shownCity"]), Country: textOf(v["shownCountry"]), MachineID: textOf(v["machineId"]), Type: textOf(v["label"])},
	}
	if drinks, ok := v["drinks"].(*types.AttributeValueMemberL); ok {
		item.Drinks = make([]string, len(drinks.Value))
		for i, d := range drinks.Value {
			item.Drinks[i] = textOf(d)
		}
	}
	return item, nil
}
