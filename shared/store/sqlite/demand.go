package sqlite

import (
	"context"
	"database/sql"

	"github.com/sipeat/sipeat/shared/store"
)

// Demand implements [store.Reader].
func (s *Store) Demand(ctx context.Context, q store.DemandQuery) (store.DemandPage, error) {
	if err := q.Check(); err != nil {
		return store.DemandPage{}, err
	}
	at, _, err := q.Start() // the first page begins after a blank drink, which does not exist
	if err != nil {
		return store.DemandPage{}, err
	}
	text, args := demand(store.Fold(q.Country), store.Fold(q.City), at)
	args = append(args, q.Limit+1)
	var page store.DemandPage
	var last store.DemandKey
	more := false
	err = s.each(ctx, text, args, func(rows *sql.Rows) error {
		if more = len(page.Items) == q.Limit; more {
			return nil
		}
		var d store.Demand
		err := rows.Scan(&last.Country, &last.City, &last.Drink, &d.Country, &d.City, &d.Drink, &d.Count)
		page.Items = append(page.Items, d)
		return err
	})
	if err != nil {
		return store.DemandPage{}, err
	}
	if more {
		page.Next = q.Next(last)
	}
	return page, nil
}

// demand is the statement for a page of demand after a key, and its first arguments.
func demand(country, city string, at store.DemandKey) (text string, args []any) {
	const from = "SELECT country, city, drink, shown_country, shown_city, shown_drink, count FROM demand "
	const order = " ORDER BY country, city, drink LIMIT ?"
	switch {
	case country != "" && city != "":
		return from + "WHERE country = ? AND city = ? AND drink > ?" + order, []any{country, city, at.Drink}
	case country != "":
		return from + "WHERE country = ? AND (city, drink) > (?, ?)" + order, []any{country, at.City, at.Drink}
	case city != "":
		return from + "INDEXED BY demand_city WHERE city = ? AND (country, drink) > (?, ?)" + order,
			[]any{city, at.Country, at.Drink}
	}
	return from + "WHERE (country, city, drink) > (?, ?, ?)" + order, []any{at.Country, at.City, at.Drink}
}

// add adds the demand of an item that was kept.
func (t *tx) add(e store.DemandEntry) {
	if i, ok := t.indices[e.DemandKey]; ok {
		t.demand[i].Shown.Count += e.Shown.Count
		return
	}
	if t.indices == nil {
		t.indices = map[store.DemandKey]int{}
	}
	t.indices[e.DemandKey] = len(t.demand)
	t.demand = append(t.demand, e)
}

// count writes the demand that was added.
func (t *tx) count() error {
	for _, e := range t.demand {
		_, err := t.exec(`INSERT INTO demand (country, city, drink, shown_country, shown_city, shown_drink, count)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count`,
			e.Country, e.City, e.Drink, e.Shown.Country, e.Shown.City, e.Shown.Drink, e.Shown.Count)
		if err != nil {
			return err
		}
	}
	return nil
}
