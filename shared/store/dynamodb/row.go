package dynamodb

import (
	"strconv"

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

// labels are the attributes of an item's labels: as given, and folded in the index that lists by them.
var labels = []struct {
	shown, index string
	of           func(*store.Labels) *string
}{
	{"shownCity", cityIndex, func(l *store.Labels) *string { return &l.City }},
	{"shownCountry", countryIndex, func(l *store.Labels) *string { return &l.Country }},
	{"machineId", machineIndex, func(l *store.Labels) *string { return &l.MachineID }},
	{"label", kindIndex, func(l *store.Labels) *string { return &l.Type }},
}

func rowOf(item store.Item) row {
	r := row{
		pk: text(itemKey(item.Type, item.ID)), sk: data(noSortKey), at: data(when(item.CreatedAt, item.ID)),
		listIndex: text(join(item.Type)),
		"type":    text(item.Type), "event": text(item.EventID), "digest": data(item.Digest[:]), "data": text(string(item.Data)),
	}
	for _, l := range labels {
		label := *l.of(&item.Labels)
		if label != "" {
			r[l.shown] = text(label)
		}
		if folded := store.Fold(label); folded != "" {
			r[l.index] = text(join(item.Type, folded))
		}
	}
	if len(item.Drinks) > 0 {
		drinks := make([]types.AttributeValue, len(item.Drinks))
		for i, d := range item.Drinks {
			drinks[i] = text(d)
		}
		r["drinks"] = &types.AttributeValueMemberL{Value: drinks}
	}
	return r
}

func itemOf(r row) (store.Item, error) {
	when, digest := dataOf(r[at]), dataOf(r["digest"])
	if len(when) < 8 || len(digest) != 32 {
		return store.Item{}, events.Errorf(events.Unavailable, "the row %q is no item of this version", textOf(r[pk]))
	}
	created, id := fromWhen(when)
	item := store.Item{
		Type: textOf(r["type"]), ID: id, EventID: textOf(r["event"]), CreatedAt: created, Data: []byte(textOf(r["data"])),
		Digest: [32]byte(digest),
	}
	for _, l := range labels {
		*l.of(&item.Labels) = textOf(r[l.shown])
	}
	if drinks, ok := r["drinks"].(*types.AttributeValueMemberL); ok {
		for _, d := range drinks.Value {
			item.Drinks = append(item.Drinks, textOf(d))
		}
	}
	return item, nil
}
