package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
)

// openStore opens a read model: a SQLite file, or DynamoDB's table of the settings.
func (a *app) openStore(ctx context.Context, where string) (store.Store, error) {
	if where == settings.DynamoDB {
		return a.openTable(ctx, a.settings.Table)
	}
	if where == settings.DefaultStore {
		if err := os.MkdirAll(filepath.Dir(where), 0o700); err != nil { // as `sipeat serve` makes it
			return nil, fmt.Errorf("STORE: %w", err)
		}
	}
	s, err := sqlite.Open(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("STORE: %w", err)
	}
	a.add("read model", func(context.Context) error { return s.Close() })
	return s, nil
}

// openTable opens a read model in DynamoDB.
func (a *app) openTable(ctx context.Context, name string) (store.Store, error) {
	return open(ctx, a, "read model", func(cfg aws.Config) (*dynamodb.Store, error) { return dynamodb.Open(cfg, name) })
}

// openClaims opens the delivery claims that belong to a read model: those of CLAIMS_FILE, of claims.db in the folder of
// another file, or DynamoDB's table of the settings.
func (a *app) openClaims(ctx context.Context, where string) (store.Claims, error) {
	if where == settings.DynamoDB {
		return open(ctx, a, "delivery claims", func(cfg aws.Config) (*dynamodb.Claims, error) {
			return dynamodb.OpenClaims(cfg, a.settings.ClaimsTable, time.Now)
		})
	}
	path := claimsFile(where)
	if where == a.settings.Store && a.settings.ClaimsFile != "" {
		path = a.settings.ClaimsFile
	}
	c, err := sqlite.OpenClaims(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("CLAIMS_FILE: %w", err)
	}
	a.add("delivery claims", func(context.Context) error { return c.Close() })
	return c, nil
}

// claimsFile is the default path of a read model's delivery claims.
func claimsFile(model string) string { return filepath.Join(filepath.Dir(model), "claims.db") }

// open opens a table of DynamoDB, and creates it on DynamoDB Local if it does not exist.
func open[T interface {
	Create(context.Context) error
	Check(context.Context) error
	Close() error
}](ctx context.Context, a *app, name string, open func(aws.Config) (T, error)) (t T, err error) {
	cfg, local, err := a.dynamoDB(ctx)
	if err == nil {
		t, err = open(cfg)
	}
	if err != nil {
		return t, fmt.Errorf("STORE=dynamodb: %w", err)
	}
	a.add(name, func(context.Context) error { return t.Close() })
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	ready := t.Check
	if local {
		ready = t.Create
	}
	if err := ready(ctx); err != nil {
		return t, fmt.Errorf("STORE=dynamodb: %w", err)
	}
	return t, nil
}

// dynamoDB returns the config of AWS's DynamoDB, or of a local one that DYNAMODB_ENDPOINT names and that needs no credentials.
func (a *app) dynamoDB(ctx context.Context) (cfg aws.Config, local bool, err error) {
	if os.Getenv("DYNAMODB_ENDPOINT") == "" {
		cfg, err = a.aws.regional(ctx)
		return cfg, false, err
	}
	if cfg, err = dynamodb.FromEnvironment(os.Getenv); err != nil {
		err = usageError{err}
	}
	return cfg, true, err
}

// storeCheck fails while the read model is unreachable or lacks events.
func (a *app) storeCheck() web.Check {
	var behind atomic.Bool
	return web.Check{
		Name: "store",
		Probe: func(ctx context.Context) error {
			err := a.store.Ping(ctx)
			behind.Store(errors.Is(err, store.ErrBehind))
			return err
		},
		Facts: func() any {
			if behind.Load() {
				return "the read model is behind the group's commits: run `sipeat rebuild`, see its --help"
			}
			return nil
		},
	}
}
