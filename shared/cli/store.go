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

// storeName names the read model in messages.
func (a *app) storeName() string {
	if a.settings.Store == settings.DynamoDB {
		return "the DynamoDB table " + a.settings.Table
	}
	return a.settings.Store
}

// openStore opens a read model: a SQLite file, or DynamoDB's table of the settings.
func (a *app) openStore(ctx context.Context, where string) (store.Store, error) {
	if where == settings.DynamoDB {
		return openTable(ctx, a, func(cfg aws.Config) (*dynamodb.Store, error) { return dynamodb.Open(cfg, a.settings.Table) })
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
	return s, nil
}

// openClaims opens the delivery claims that belong to a read model: those of CLAIMS_FILE, of claims.db in the folder of
// another file, or DynamoDB's table of the settings.
func (a *app) openClaims(ctx context.Context, where string) (store.Claims, error) {
	if where == settings.DynamoDB {
		return openTable(ctx, a, func(cfg aws.Config) (*dynamodb.Claims, error) {
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
	return c, nil
}

// claimsFile is the default path of a read model's delivery claims.
func claimsFile(model string) string { return filepath.Join(filepath.Dir(model), "claims.db") }

// table is a table of DynamoDB.
type table interface {
	Create(ctx context.Context) error
	Check(ctx context.Context) error
	Close() error
}

// openTable opens a table, which is created on DynamoDB Local if it does not exist.
func openTable[T table](ctx context.Context, a *app, open func(aws.Config) (T, error)) (t T, err error) {
	cfg, local, err := a.dynamoDB(ctx)
	if err == nil {
		t, err = open(cfg)
	}
	if err != nil {
		return t, fmt.Errorf("STORE=dynamodb: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	ready := t.Check
	if local {
		ready = t.Create
	}
	if err := ready(ctx); err != nil {
		return t, errors.Join(fmt.Errorf("STORE=dynamodb: %w", err), t.Close())
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
func (p *parts) storeCheck() web.Check {
	var behind atomic.Bool
	return web.Check{
		Name: "store",
		Probe: func(ctx context.Context) error {
			err := p.store.Ping(ctx)
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
