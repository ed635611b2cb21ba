package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sipeat/sipeat/functions/commands"
	"github.com/sipeat/sipeat/functions/queries"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/sipeat/sipeat/shared/console"
	"github.com/sipeat/sipeat/shared/docs"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/dynamodb"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/sipeat/sipeat/shared/web/gateway"
	"github.com/spf13/cobra"
)

func (a *app) consoleCommand() *cobra.Command {
	return a.withFlags(&cobra.Command{
		Use:   "console",
		Short: "Show topics, consumers and dead letters of any Kafka in a browser",
		Long: "Show topics, consumers, dead letters and the read model in a browser, and redrive or discard dead letters there.\n" +
			"`sipeat serve` and `sipeat api` serve the same at /console/. This command needs no other part of SipEat to run.\n" +
			"When it is ready, it prints this line first: ready http=http://HOST:PORT\n\n" +
			"Data is for staff, by the rule of the API: AUTH is needed, unless it listens on loopback.\n\n" + serverHelp,
		Example: "  sipeat console --http 127.0.0.1:8090\n" +
			"  KAFKA_BROKERS=kafka1:9092 STORE=dynamodb sipeat console --http 127.0.0.1:0",
		RunE: func(c *cobra.Command, _ []string) error { return a.runServer(c.Context(), a.runConsole) },
	}, "http", "brokers")
}

func (a *app) runConsole(ctx context.Context) error {
	listener, err := a.listenAPI()
	if err != nil {
		return err
	}
	if err := a.reachAll(ctx); err != nil {
		return err
	}
	url := a.serveFunctions("console", listener, append(console.Functions(a.consoleOptions()), web.Health(a.storeCheck())...))
	fmt.Fprintf(a.stdout, "ready http=%s\n\nOpen %[1]s/console/ in a browser. Ctrl-C stops it.\n", url)
	return nil
}

// reachAll checks the brokers and opens the read model and the claims, if there are any.
func (a *app) reachAll(ctx context.Context) error {
	if err := a.reach(ctx, kafka.Requirements{}); err != nil {
		return err
	}
	if err := a.checkModel(); err != nil {
		return err
	}
	return a.openModel(ctx, a.settings.Store)
}

// consoleOptions are those of the console on the cluster and the read model that are open.
func (a *app) consoleOptions() console.Options {
	lists := slices.DeleteFunc((queries.Queries{Store: a.store, Claims: a.claims}).Functions(),
		func(f web.Function) bool { return !strings.HasPrefix(f.Name, "list-") })
	return console.Options{
		Store: a.store, Claims: a.claims, Lists: lists, Commands: commands.Commands{}.Functions(), Schema: docs.Schema,
		Callers: []string{gateway.TokenSubject}, Running: a.running, Who: whoami(), Logger: a.logger,
		Cluster: a.cluster, Groups: topicsOfGroups(), Statuses: a.statuses, Diagnose: a.diagnose, Models: a.models,
		OpenModel:   a.openBeside,
		DeadLetters: &deadletters.Client{Cluster: a.cluster, Topics: topicNames(), Logger: a.logger, Check: checker(a.store)},
	}
}

// diagnose runs the doctor's checks with parts of its own, which it closes.
func (a *app) diagnose(ctx context.Context) []console.Finding {
	own := &app{json: true, stdout: io.Discard, stderr: io.Discard, settings: a.settings, cluster: a.cluster, logger: a.logger,
		aws: awsAccess{timeout: reachTimeout}}
	own.settings.Store = a.model
	d := &doctor{app: own}
	_ = d.run(ctx)  // its error counts what failed
	_ = own.close() // only a server's parts report errors
	return d.findings
}

// maxModels bounds the files that are looked at.
const maxModels = 20

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
	all.Start = "sipeat rebuild --store " + word(filepath.Join(folder, "read-model-2.db"))
	if a.served != "" {
		all.Start = "sipeat rebuild --data " + word(a.served) + "    # while `sipeat serve` is stopped; it replaces its read model"
	}
	files, _ := fs.Glob(os.DirFS(folder), "*.db") // the folder may have the characters of a pattern in its name
	for _, name := range files[:min(len(files), maxModels)] {
		path := filepath.Join(folder, name)
		if path == filepath.Clean(a.model) {
			continue
		}
		m := console.Model{Name: path, Bytes: fileSize(path),
			Compare: "sipeat rebuild --once --store " + word(path) + " --compare " + word(a.model)}
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
