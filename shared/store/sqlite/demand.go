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
	at, _, err := q.Start() // the first page begins behind a blank drink, which there is none of
	if err != nil {
		return store.DemandPage{}, err
	}
	text, args := demand(store.Fold(q.Country), store.Fold(q.City), at)
	args = append(args, q.Limit+1)
	var page store.DemandPage
	var last store.DemandKey
	more := false
	err = s.reads.each(ctx, text, args, func(rows *sql.Rows) error {
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

// demand is the statement for a page of demand behind a key, and its first arguments.
func demand(country, city string, at store.DemandKey) (text string, args []any) {
	const from = "SELECT country, city, drink, shown_country, shown_city, shown_drink, count FROM demand "
	const order = " ORDER BY country, city, drink LIMIT ?"
	switch {
	case country != "" && city != "":
		return from + "WHERE " + living + " AND country = ? AND city = ? AND drink > ?" + order, []any{country, city, at.Drink}
	case country != "":
		return from + "WHERE " + living + " AND country = ? AND (city, drink) > (?, ?)" + order, []any{country, at.City, at.Drink}
	case city != "":
		return from + "INDEXED BY demand_city WHERE " + living + " AND city = ? AND (country, drink) > (?, ?)" + order,
			[]any{city, at.Country, at.Drink}
	}
	return from + "WHERE " + living + " AND (country, city, drink) > (?, ?, ?)" + order, []any{at.Country, at.City, at.Drink}
}
