package storetest

import (
	"fmt"

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
		}, b.demand(b, store.DemandQuery{}))
	}},
	{"a blank drink is none, a blank place is a place", func(b *bench) {
		b.mustPut(asking("1", "", " ", "", " ", "Cola"), asking("2", "", "Bonn", "Cola"), asking("3", "DE", "Berlin"))
		assert.Equal(b, []store.Demand{{Drink: "Cola", Count: 1}, {City: "Bonn", Drink: "Cola", Count: 1}}, b.demand(b,
			store.DemandQuery{Limit: 1}))
	}},
	{"it can be narrowed by country, by city and by both", func(b *bench) {
		b.mustPut(asking("1", "DE", "Berlin", "Cola"), asking("2", "US", "Berlin", "Cola"), asking("3", "US", "Boston", "Cola"))
		for want, q := range map[string]store.DemandQuery{
			"DE Berlin;":                     {Country: "de "},
			"US Berlin;US Boston;":           {Country: "US"},
			"DE Berlin;US Berlin;":           {City: " BERLIN"},
			"US Berlin;":                     {Country: "us", City: "berlin"},
			"":                               {Country: "FR"},
			"DE Berlin;US Berlin;US Boston;": {Country: " ", City: ""},
		} {
			got := ""
			for _, d := range b.demand(b, q) {
				got += d.Country + " " + d.City + ";"
			}
			assert.Equal(b, want, got, "%+v", q)
		}
	}},
	{"pages are ordered by country, city and drink, complete and without repeats", func(b *bench) {
		var all []store.Demand
		for _, country := range []string{"", "a", "B"} {
			for _, city := range []string{"", "c", "D", "é"} {
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
			require.Equal(b, all, b.demand(b, store.DemandQuery{Limit: limit}), limit)
		}
		for _, d := range all {
			var want []store.Demand
			for _, other := range all {
				if (d.Country == "" || other.Country == d.Country) && (d.City == "" || other.City == d.City) {
					want = append(want, other)
				}
			}
			require.Equal(b, want, b.demand(b, store.DemandQuery{Country: d.Country, City: d.City, Limit: 2}))
		}
	}},
}
