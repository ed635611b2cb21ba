package cli

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
)

// checkStore checks the read model, and that it holds what the consumer groups have committed.
func (a *app) checkStore(ctx context.Context, k *kafkaChecks) []finding {
	where := a.settings.Store
	committed := store.Marks{} // looked up first: the read model is never behind what comes later
	_ = k.asked(ctx, func(ctx context.Context) ([]finding, error) {
		groups, err := kafka.Groups(ctx, k.usable, topicsOfGroups())
		for _, g := range groups {
			for partition, offset := range g.Committed {
				committed.Committed(g.Topic, partition, offset)
			}
		}
		return nil, err // which the check of the groups reports
	})
	_, err := os.Stat(where)
	missing := where != settings.DynamoDB && errors.Is(err, fs.ErrNotExist)
	if !missing {
		err = a.checkModel(ctx, where, committed)
	} else if err = committed.Check(); err == nil {
		return []finding{{Subject: where, Status: noted, Says: "the file does not exist yet",
			Remedy: "the first API or worker creates it; is STORE the path that they use?"}}
	}
	switch {
	case errors.Is(err, store.ErrBehind):
		return []finding{{Subject: where, Status: wrong, Says: err.Error(), Remedy: "`sipeat rebuild --help` says how"}}
	case err != nil:
		return []finding{{Subject: where, Status: wrong, Says: err.Error(),
			Remedy: "check STORE, and that this user may read and write it"}}
	}
	return []finding{{Subject: where, Status: well, Says: "reachable, and holds what the groups have committed"}}
}

func (a *app) checkModel(ctx context.Context, where string, committed store.Marks) error {
	s, err := a.openStore(ctx, where)
	if err != nil {
		return err
	}
	if err = s.Ping(ctx); err == nil {
		var marks store.Marks
		marks, err = s.Marks(ctx)
		for topic, partitions := range committed {
			for partition, mark := range partitions {
				marks.Committed(topic, partition, mark.Committed)
			}
		}
		err = errors.Join(err, marks.Check())
	}
	return errors.Join(err, s.Close())
}
