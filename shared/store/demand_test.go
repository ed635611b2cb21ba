package store_test

import (
	"fmt"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

func asking(id, country, city string, drinks ...string) store.Item {
	i := item(id, 0, "", drinks...)
	i.Labels = store.Labels{Country: country, City: city}
	return i
}

var demands = []guarantee{
	{"an event counts each drink once, spellings are one row, which shows the first without surrounding space", func(b *bench) {
		b.mustPut(asking("1", " De", "KÖLN ", " Café  Latte\n", "café  latte", "Tea"),
			asking("2", "DE", "köln", "CAFÉ  LATTE", "Café Latte"))
		assert.Equal(b, []store.Demand{
			{Country: "De", City: "KÖLN", Drink: "Café  Latte", Count: 2},
			{Country: "DE", City: "köln", Drink: "Café Latte", Count: 1},
			{Country: "De", City: "KÖLN", Drink: "Tea", Count: 1},
		}, b.demand(store.DemandQuery{}))
	}},
	{"a blank drink is none, a blank place is a place", func(b *bench) {
		b.mustPut(asking("1", "", " ", "", " ", "Cola"), asking("2", "", "Bonn", "Cola"), asking("3", "DE", "Berlin"))
		assert.Equal(b, []store.Demand{{Drink: "Cola", Count: 1}, {City: "Bonn", Drink: "Cola", Count: 1}},
			b.demand(store.DemandQuery{Limit: 1}))
	}},
	{"pages are ordered by country, city and drink, complete and without repeats, for each filter", func(b *bench) {
		var all, places []store.Demand
		for _, country := range []string{"", "a", "B"} {
			for _, city := range []string{"", "c", "D", "é"} {
				places = append(places, store.Demand{Country: country, City: city})
				var drinks []string
				for n := range 7 {
					drink := fmt.Sprintf("drink%d", n)
					drinks = append(drinks, drink)
					all = append(all, store.Demand{Country: country, City: city, Drink: drink, Count: 1})
				}
				b.mustPut(asking(country+"/"+city, country, city, drinks...))
			}
		}
		for _, limit := range []int{1, 3, 7, 83, 84, 85} {
			require.Equal(b, all, b.demand(store.DemandQuery{Limit: limit}), limit)
		}
		for _, place := range places {
			var want []store.Demand
			for _, d := range all {
				if (place.Country == "" || d.Country == place.Country) && (place.City == "" || d.City == place.City) {
					want = append(want, d)
				}
			}
			q := store.DemandQuery{Country: " " + strings.ToUpper(place.Country), City: strings.ToUpper(place.City) + " ", Limit: 2}
			require.Equal(b, want, b.demand(q), "%+v", q)
		}
		assert.Empty(b, b.demand(store.DemandQuery{Country: "FR"}))
	}},
}
