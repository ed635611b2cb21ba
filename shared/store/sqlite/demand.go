package sqlite

import (
	"context"
	"database/sql"

	"github.com/sipeat/sipeat/shared/store"
)

// Demand implements [store.Reader].
func (s *Store) Demand(ctx context.Context, q store.DemandQuery) (store.DemandPage, error) {
	at, err := q.Start()
	if err != nil {
		return store.DemandPage{}, err
	}
	if at == nil {
		at = &store.DemandKey{} // the first page begins after a blank drink, which does not exist
	}
	text, args := demand(store.Fold(q.Country), store.Fold(q.City), *at)
	args = append(args, q.Limit+1)
	var page store.DemandPage
	err = s.each(ctx, text, args, func(rows *sql.Rows) error {
		var d store.Demand
		err := rows.Scan(&d.Country, &d.City, &d.Drink, &d.Count)
		page.Items = append(page.Items, d)
		return err
	})
	if err != nil {
		return store.DemandPage{}, err
	}
	if len(page.Items) > q.Limit {
		page.Items = page.Items[:q.Limit]
		page.Next = q.Next(page.Items[q.Limit-1].Key())
	}
	return page, nil
}

// demand is the statement for a page of demand after a key, and its first arguments.
func demand(country, city string, at store.DemandKey) (text string, args []any) {
	const from = "SELECT shown_country, shown_city, shown_drink, count FROM demand "
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

// count adds to a row of demand, which shows the spelling that came first.
func (t *tx) count(e store.DemandEntry) error {
	return t.exec(`INSERT INTO demand (country, city, drink, shown_country, shown_city, shown_drink, count)
		VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1`,
		e.Country, e.City, e.Drink, e.Shown.Country, e.Shown.City, e.Shown.Drink)
}
