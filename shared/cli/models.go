package cli

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/sipeat/sipeat/shared/console"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
)

// maxModels bounds the files that are looked at.
const maxModels = 20

// modelFile is the name of a file that may be a read model, and can be pasted into a shell. That of `rebuild --data` is none: it
// is moved as soon as it is closed.
var modelFile = regexp.MustCompile(`^[\w.-]+\.db$`)

// models are the read model in use and those beside it: the files in its folder, or a named table.
func (a *app) models(ctx context.Context, table string) (all console.ReadModels, err error) {
	own := console.Model{Name: cmp.Or(a.settings.Table, a.model), InUse: true}
	if a.model != settings.DynamoDB {
		own.Name, own.Bytes, own.Version = a.model, fileSize(a.model), sqlite.Version()
	}
	if own.Marks, err = a.store.Marks(ctx); err == nil {
		err = own.Marks.Check()
	}
	own.Problem = problem(err)
	all.Models = []console.Model{own}
	if a.model == settings.DynamoDB {
		all.Place = "table " + own.Name
		all.Start = fmt.Sprintf("sipeat rebuild --table %s-2", own.Name)
		if table != "" && table != own.Name {
			all.Models = append(all.Models, a.tableModel(ctx, table))
		}
		return all, nil
	}
	folder := filepath.Dir(a.model)
	all.Place = "folder " + folder
	all.Start = fmt.Sprintf("sipeat rebuild --store %s", filepath.Join(folder, "read-model-2.db"))
	if a.served != "" {
		all.Start = fmt.Sprintf("sipeat rebuild --data %s    # while `sipeat serve` is stopped; it replaces its read model", a.served)
	}
	files, _ := fs.Glob(os.DirFS(folder), "*.db") // the folder may have the characters of a pattern in its name
	for _, name := range files[:min(len(files), maxModels)] {
		path := filepath.Join(folder, name)
		if path == filepath.Clean(a.model) || !modelFile.MatchString(name) {
			continue
		}
		m := console.Model{Name: path, Bytes: fileSize(path),
			Compare: "sipeat rebuild --once --store " + path + " --compare " + a.model}
		if m.Version, m.Marks, err = sqlite.Inspect(ctx, path); events.KindOf(err) == events.NotFound {
			continue
		}
		m.Problem = problem(err)
		if a.served == "" {
			m.Switch = a.switching(path, "")
		}
		all.Models = append(all.Models, m)
	}
	return all, nil
}

func (a *app) tableModel(ctx context.Context, name string) console.Model {
	m := console.Model{Name: name, Compare: "sipeat rebuild --once --table " + name + " --compare " + a.settings.Table,
		Switch: a.switching("", name)}
	s, err := a.openBeside(ctx, name)
	if err == nil {
		m.Marks, err = s.Marks(ctx)
	}
	m.Problem = problem(err)
	return m
}

// openBeside opens one of the models beside the one in use, to read it.
func (a *app) openBeside(ctx context.Context, name string) (store.Store, error) {
	if a.model != settings.DynamoDB {
		return sqlite.Open(ctx, name)
	}
	cfg, _, err := a.dynamoDB(ctx)
	if err != nil {
		return nil, err
	}
	return dynamodb.Open(cfg, name)
}

func problem(err error) string {
	if err == nil {
		return ""
	}
	return events.LogText(err.Error())
}

// fileSize is the size of a SQLite file with its log; 0 = unknown.
func fileSize(path string) (bytes int64) {
	for _, name := range []string{path, path + "-wal"} {
		if file, err := os.Stat(name); err == nil {
			bytes += file.Size()
		}
	}
	return bytes
}
