package console

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// ReadModels are the read models in one place.
type ReadModels struct {
	Place  string  `json:"place"`  // where they are looked for
	Start  string  `json:"start"`  // the command that builds another
	Models []Model `json:"models"` // the one in use first
}

// Model is a read model. How far it is shows in the marks that it keeps of itself, so that a rebuild in another process is shown
// too.
type Model struct {
	Name    string      `json:"name"` // of the file or table
	InUse   bool        `json:"inUse"`
	Bytes   int64       `json:"bytes,omitzero"`   // of a file
	Version int         `json:"version,omitzero"` // of a file's tables
	Marks   store.Marks `json:"-"`                // nil = unknown
	Problem string      `json:"problem,omitempty"`
	Compare string      `json:"compare,omitempty"` // the command that compares it with the one in use
	Switch  string      `json:"switch,omitempty"`  // how to use it instead
	Held    int64       `json:"held"`              // of the offsets that the topics hold
	All     int64       `json:"all"`               // that the topics hold
}

// tableName is the name of a table, or "". It becomes a part of commands to paste, so it holds nothing that a shell interprets
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html).
var tableName = regexp.MustCompile(`^([\w.-]{3,255})?$`)

const (
	maxDifferences = 100
	compareTimeout = 25 * time.Second // requests have 45 s
)

type rebuildQuery struct {
	Table string `query:"table"` // of DynamoDB, beside the one in use
}

type differencesQuery struct {
	Table string `query:"table"`
	Model string `query:"model"` // the name of one that the view shows beside the one in use
}

type differencesView struct {
	Model       string   `json:"model"`
	InUse       string   `json:"inUse"`
	Count       int      `json:"count"`
	Differences []string `json:"differences"` // the first [maxDifferences]
}

type rebuildView struct {
	ReadModels
	At      time.Time `json:"at,omitzero"`       // of the topics' ends; zero = unknown
	Problem string    `json:"problem,omitempty"` // why they are of an earlier time
}

func (c *console) rebuild(ctx context.Context, q rebuildQuery) (v rebuildView, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if v.ReadModels, err = c.models(ctx, q.Table); err != nil {
		return v, err
	}
	last, problem := c.now.last(ctx)
	v.At, v.Problem = last.at, problem
	for i := range v.Models {
		m := &v.Models[i]
		for _, g := range last.groups {
			for n, end := range g.Ends {
				m.Held += min(max(m.Marks[g.Topic][n].Held, g.Starts[n]), end) - g.Starts[n]
				m.All += end - g.Starts[n]
			}
		}
	}
	return v, nil
}

func (c *console) models(ctx context.Context, table string) (ReadModels, error) {
	if !tableName.MatchString(table) {
		return ReadModels{}, events.Errorf(events.Invalid, "a table's name has 3 to 255 letters, digits, dots, dashes and underscores")
	}
	return c.Models(ctx, table)
}

// differences compares a read model with the one in use, one at a time, because it takes memory.
func (c *console) differences(ctx context.Context, q differencesQuery) (v differencesView, err error) {
	all, err := c.models(ctx, q.Table)
	if err != nil {
		return v, err
	}
	n := slices.IndexFunc(all.Models, func(m Model) bool { return m.Name == q.Model && !m.InUse })
	if n < 0 {
		return v, events.Errorf(events.NotFound, "no read model of this name is beside the one in use")
	}
	if !c.comparing.TryLock() {
		return v, events.Errorf(events.Unavailable, "another comparison is running: try again when it has ended")
	}
	defer c.comparing.Unlock()
	limited, cancel := context.WithTimeout(ctx, compareTimeout)
	defer cancel()
	other, err := c.OpenModel(limited, q.Model)
	if err != nil {
		return v, err
	}
	defer other.Close()
	v = differencesView{Model: q.Model, InUse: all.Models[0].Name}
	types := slices.Sorted(maps.Values(c.Groups))
	found, err := store.Differences(limited, other, c.Store, types, v.Model, v.InUse)
	if limited.Err() != nil && ctx.Err() == nil {
		return v, events.Errorf(events.Unavailable, "the read models cannot be compared here within %s: run `%s`", compareTimeout,
			all.Models[n].Compare)
	}
	v.Count, v.Differences = len(found), found[:min(len(found), maxDifferences)]
	return v, err
}
