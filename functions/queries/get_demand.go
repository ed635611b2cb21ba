package queries

import (
	"context"

	"github.com/sipeat/sipeat/shared/store"
)

// Demand are the parameters of GET /demand.
type Demand struct {
	Country string `query:"country" doc:"Only of this country. Case and outer white space are ignored."`
	City    string `query:"city" doc:"Only of this city. Case and outer white space are ignored."`
	Limit   int    `query:"limit" default:"20" min:"1" max:"100" doc:"The most rows to answer."`
	Cursor  string `query:"cursor" doc:"The nextCursor of the previous page."`
}

// DemandList is a page of the demand, ordered by country, city and drink.
type DemandList struct {
	Items      []store.Demand `json:"items"`
	NextCursor *string        `json:"nextCursor"`
}

// GetDemand answers GET /demand.
func (q Queries) GetDemand(ctx context.Context, in Demand) (DemandList, error) {
	found, err := q.Store.Demand(ctx, store.DemandQuery{Country: in.Country, City: in.City, Limit: in.Limit, Cursor: in.Cursor})
	if err != nil {
		return DemandList{}, err
	}
	return DemandList{Items: found.Items, NextCursor: next(found.Next)}, nil
}
