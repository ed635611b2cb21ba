'use strict';
// The console's page. Data from records is inserted as text nodes only, and characters that a reader cannot see, or that turn the
// direction of a line, are shown as escapes.
const views = {};
const $ = id => document.getElementById(id);
const path = location.pathname.replace(/^.*\/console\/?/, '');
const query = new URLSearchParams(location.search);

const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;
const shown = text => String(text).replace(hidden, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
const oneLine = (text, max = 120) => {
  text = shown(text).replace(/\s+/g, ' ');
  return text.length > max ? text.slice(0, max - 1) + '…' : text;
};

// h makes an element; children are elements, or text that is isolated as to its direction.
function h(name, attributes, ...children) {
  const svg = ['svg', 'polyline', 'title', 'rect'].includes(name);
  const e = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) e.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) e.setAttribute(key, value === true ? '' : value);
  }
  e.append(...children.flat(2).filter(c => c !== null && c !== undefined && c !== false && c !== ''));
  return e;
}
const text = (value, max) => h('bdi', {}, oneLine(value ?? '', max));
const link = (to, parameters, ...children) => {
  const q = new URLSearchParams(Object.entries(parameters).filter(([, v]) => v));
  return h('a', {href: '/console/' + to + (q.size ? '?' + q : '')}, ...children);
};
const number = n => n === null || n === undefined ? '–' : n.toLocaleString('en', {maximumFractionDigits: n < 10 ? 1 : 0});
const time = at => at ? h('time', {datetime: at, title: at}, new Date(at).toISOString().slice(0, 19).replace('T', ' ')) : '–'; // UTC
const age = at => {
  const s = Math.max(0, (Date.now() - new Date(at)) / 1000);
  return s < 120 ? Math.round(s) + ' s' : s < 7200 ? Math.round(s / 60) + ' min' : s < 172800 ? Math.round(s / 3600) + ' h' :
    Math.round(s / 86400) + ' d';
};
const counted = (n, noun) => number(n) + ' ' + noun + (n === 1 ? '' : 's');

// table makes a table; columns are [name, cell, class]. On a narrow screen each row is a card.
function table(caption, columns, rows) {
  return h('div', {class: 'scroll'}, h('table', {class: 'cards'}, h('caption', {}, caption, rows.length ? '' : ': none'), rows.length > 0 &&
    h('thead', {}, h('tr', {}, columns.map(([name, , c]) => h('th', {scope: 'col', class: c}, name)))),
    h('tbody', {}, rows.map(row => h('tr', {}, columns.map(([name, cell, c]) => {
      const content = cell(row);
      return h('td', {'data-label': name, class: c}, content === '' ? '' : h('span', {}, content));
    }))))));
}

// replace replaces what an element contains; what has the focus keeps it, by its link or its place, and what is open stays so.
function replace(box, ...children) {
  const focusable = () => [...box.querySelectorAll('a,button,input,select,summary')], details = () => [...box.querySelectorAll('details')];
  const at = focusable().indexOf(document.activeElement), to = at >= 0 && document.activeElement.href, open = details().map(d => d.open);
  box.replaceChildren(...children.flat().filter(Boolean));
  details().forEach((d, i) => { d.open = open[i]; });
  if (at >= 0) (focusable().find(e => to && e.href === to) || focusable()[at])?.focus({preventScroll: true});
}
const show = (...children) => replace($('view'), ...children);

class Final extends Error {} // the same request would fail again
class Refused extends Final {}

async function call(url, options = {}) {
  const headers = {Accept: 'application/json', ...options.headers};
  const token = sessionStorage.getItem('token');
  if (token) headers.Authorization = 'Bearer ' + token;
  const answer = await fetch(url, {...options, headers, cache: 'no-store', credentials: 'omit'});
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  if (answer.status === 401 || answer.status === 403) throw new Refused(problem.detail || answer.statusText);
  const faults = (problem.errors || []).map(e => e.pointer.slice(1) + ' ' + e.detail).join('; ');
  throw new ([400, 404].includes(answer.status) ? Final : Error)(
    [problem.detail || answer.statusText, faults].filter(Boolean).join(' '));
}
const get = (to, parameters) => call('/console/' + to + (parameters ? '?' + parameters : ''),
  {signal: AbortSignal.timeout(50000)}).then(a => a.json()); // the server takes 45 s at most

function say(message, style) {
  if ($('status').textContent !== message) $('status').textContent = message;
  $('status').className = style || '';
}

function failed(error) {
  if (error instanceof Refused) {
    $('signin').hidden = false;
    $('view').replaceChildren();
    say(error.message, 'bad');
    $('token').focus();
    return;
  }
  if (error instanceof Final && location.search) show(h('p', {}, h('a', {href: location.pathname}, 'Show all')));
  const silent = error instanceof TypeError || error.name === 'TimeoutError';
  say((silent ? 'The server does not answer' : error.message) + (error instanceof Final ? '' : ' – trying again.'), 'bad');
}

// run shows a view, again every so many milliseconds, and after a failure until it succeeds.
async function run(view, again) {
  try {
    await view();
    $('out').hidden = !sessionStorage.getItem('token');
    if ($('status').className === 'bad') say('');
  } catch (error) {
    failed(error);
    if (error instanceof Final) return;
    again = Math.max(again || 0, 3000);
  }
  const next = () => document.hidden ? setTimeout(next, 1000) : run(view, views[path.split('/')[0]].every);
  if (again) setTimeout(next, again);
}

// speed is how many events a second were written and handled between two states of a topic.
function speed(a, b) {
  const seconds = (new Date(b.at) - new Date(a.at)) / 1000, rate = key => Math.max(b[key] - a[key], 0) / seconds;
  return {at: b.at, written: rate('written'), handled: rate('handled')};
}

// lately is the speed in the last 12 s; {} = not known yet.
function lately(history) {
  const last = history.at(-1), before = history.find(p => new Date(last.at) - new Date(p.at) <= 12000);
  return before === last ? {} : speed(before, last);
}

function plot(history, name) {
  const points = history.slice(1).map((p, i) => speed(history[i], p));
  const end = Date.now(), width = 300000, top = Math.max(1, ...points.flatMap(p => [p.written, p.handled]));
  const line = key => points.map(p =>
    (100 - (end - new Date(p.at)) / width * 100).toFixed(1) + ',' + (29 - p[key] / top * 28).toFixed(1)).join(' ');
  return h('svg', {class: 'plot', viewBox: '0 0 100 30', preserveAspectRatio: 'none', role: 'img',
    'aria-label': name + ': events a second in the last 5 minutes, at most ' + number(top)},
    h('polyline', {class: 'in', points: line('written')}), h('polyline', {class: 'handled', points: line('handled')}));
}

views.now = {title: 'Now', every: 2000, async show() {
  const v = await get('now', new URLSearchParams({seen: localStorage.getItem('seen') || '1970-01-01'}));
  const d = v.diagnosis, wrong = d.findings.filter(f => f.status === 'wrong'), stalled = v.topics.filter(t => t.stalled.length);
  let sentence = 'All good.', style = 'ok';
  if (v.problem) [sentence, style] = ['The brokers cannot be read: ' + v.problem, 'bad'];
  else if (wrong.length) [sentence, style] = [counted(wrong.length, 'check') + ' failed: ' + wrong[0].subject + ' ' + wrong[0].says, 'bad'];
  else if (stalled.length) [sentence, style] = [stalled[0].topic + ' is stalled: ' + stalled[0].stalled[0], 'bad'];
  else if (d.findings.length) [sentence, style] = ['Running, with ' + counted(d.findings.length, 'note') + '.', 'warn'];
  else if (!d.at || !v.at) [sentence, style] = ['Checking …', ''];
  const finding = f => h('li', {}, h('span', {class: f.status === 'wrong' ? 'bad' : 'warn'}, f.status), ' ', text(f.part), ' ',
    h('strong', {}, text(f.subject)), ' ', text(f.says, 400), f.remedy && h('small', {}, '→ ', text(f.remedy, 300)));
  show(h('p', {class: 'sentence ' + style, id: 'sentence'}, text(sentence, 400)),
    d.findings.length ? h('ul', {}, d.findings.map(finding)) : null,
    d.at && h('p', {class: 'soft'}, counted(d.checks, 'check') + ' of `sipeat doctor`, ' + age(d.at) + ' ago.'),
    v.topics.length ? table('Topics and their consumers; the state is of ' + age(v.at) + ' ago', [
      ['Topic', t => h('strong', {}, text(t.topic))],
      ['In /s', t => number(lately(t.history).written), 'num'],
      ['Handled /s', t => number(lately(t.history).handled), 'num'],
      ['Lag', t => number(t.lag) + (t.oldest ? ', ' + age(t.oldest) : ''), 'num'],
      ['5 minutes', t => plot(t.history, t.topic)],
      ['Owners', t => t.owners.length ? t.owners.map(o => h('small', {},
        text(o.member, 16), ' ', text(o.host.replace(/^\//, '')), ': ' + ((o.partitions || []).join(' ') || 'none'))) :
        h('span', {class: 'bad'}, 'none (' + t.state + ')')],
      ['State', t => t.stalled.length ? t.stalled.map(s => h('small', {class: 'bad'}, text(s, 200))) : t.state],
      ['Dead letters', t => t.deadLetters ? [link('dead-letters', {topic: t.topic, consumer: t.group}, number(t.deadLetters)),
        t.newDeadLetters ? h('strong', {class: 'warn'}, ' ' + number(t.newDeadLetters) + ' new') : ''] : '0', 'num'],
    ], v.topics) : null,
    h('p', {class: 'soft'}, h('span', {class: 'in-key'}, 'Plots: events written (blue) and handled (green) a second. Lag: events, and the age of the oldest.')));
}};

const filters = ['topic', 'class', 'consumer', 'reason', 'key', 'id', 'since'];

// filterForm is a form whose fields are in the URL; fields are [name, label, values or type].
function filterForm(fields) {
  return h('form', {id: 'filters', onsubmit: event => {
    event.preventDefault();
    const q = new URLSearchParams([...new FormData(event.target)].map(([name, v]) => [name, v.trim()]).filter(([, v]) => v));
    location.assign(location.pathname + (q.size ? '?' + q : ''));
  }}, fields.map(([name, label, values]) => {
    const value = query.get(name) || '';
    return h('label', {}, label, Array.isArray(values) ? h('select', {name}, [...new Set([...values, value || values[0]])].map(v =>
      h('option', {value: v, selected: v === value}, v || 'all'))) :
      h('input', {name, value, dir: 'auto', autocomplete: 'off', spellcheck: 'false', placeholder: values || ''}));
  }), h('button', {}, 'Show'), location.search && h('a', {href: location.pathname}, 'all'));
}
const parameters = names => new URLSearchParams(names.filter(n => query.get(n)).map(n => [n, query.get(n)]));
const letterLink = (id, ...children) => h('a', {href: '/console/dead-letters/' + id}, ...children);

views['dead-letters'] = {title: 'Dead letters', async show() {
  if (path.includes('/')) return showLetter(path.slice('dead-letters/'.length));
  const q = parameters([...filters, 'state', 'from', 'limit']);
  q.set('seen', sessionStorage.getItem('look') || localStorage.getItem('seen') || '1970-01-01');
  const v = await get('dead-letters', q), from = +query.get('from') || 0;
  if (!sessionStorage.getItem('look')) { // what is new stays new in this tab
    sessionStorage.setItem('look', q.get('seen'));
    localStorage.setItem('seen', new Date().toISOString());
  }
  const page = n => { const p = new URLSearchParams(query); p.set('from', n); return '/console/dead-letters?' + p; };
  const state = query.get('state') || 'open';
  show(filterForm([['topic', 'Topic', ['', ...v.topics]], ['class', 'Class', ['', ...v.classes]], ['consumer', 'Consumer'], ['reason', 'Reason'], ['key', 'Key'],
    ['id', 'Id'], ['since', 'Since', '2026-11-23T06:54:21Z'], ['state', 'State', ['open', 'redriven', 'discarded', 'all']]]),
    v.complete ? null : h('p', {class: 'warn'}, 'There are too many to read all of them: the numbers are of a part.'),
    v.total ? table('Groups by consumer, class and reason' + (v.groups.length < 100 ? '' : ', the 100 largest'), [
      ['Events', g => link('dead-letters', {...Object.fromEntries(parameters([...filters, 'state'])),
        topic: g.topic, consumer: g.consumer, class: g.class, reason: g.reason}, number(g.count)), 'num'],
      ['New', g => g.new ? h('strong', {class: 'warn'}, number(g.new)) : '0', 'num'],
      ['Consumer', g => text(g.consumer, 60)], ['Class', g => text(g.class)], ['Newest', g => time(g.lastAt)],
      ['Reason', g => text(g.reason, 200)]], v.groups) : h('p', {id: 'none'}, 'No dead letter matches.'),
    v.total ? table(counted(v.total, 'event') + (v.total > v.items.length ? ', ' + (from + 1) + ' to ' + (from + v.items.length) : ''), [
      ['Id', r => letterLink(r.id, text(r.id, 80))], ['Class', r => text(r.class)], ['State', r => text(r.state)],
      ['Redrives', r => number(r.redrives), 'num'], ['Rejected', r => time(r.lastAt)], ['Key', r => text(r.key, 40)],
      ['Event', r => text(r.eventId, 40)]], v.items) : null,
    h('p', {}, from > 0 && h('a', {href: page(Math.max(0, from - (+query.get('limit') || 50)))}, '← before'), ' ',
      from + v.items.length < v.total && h('a', {href: page(from + v.items.length)}, 'next →')),
    state === 'open' && v.total ? actions(parameters(filters), v.total) : null);
}};

async function showLetter(id) {
  const v = await get('dead-letters/' + id);
  show(h('p', {}, h('a', {href: '/console/dead-letters'}, '← all')), v.rejections.map(r => h('section', {class: 'box'},
    h('h2', {}, text(r.id, 300)),
    h('dl', {}, [['event', r.eventId], ['key', r.key], ['consumer', r.consumer], ['state', r.state], ['class', r.class], ['reason', r.reason],
      ['attempts', r.attempts], ['redrives', r.redrives], ['rejected first', r.firstAt], ['rejected last', r.lastAt]]
      .flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, text(value ?? '–', 1000))])),
    r.lastAttempts && table('The last attempts', [['Began', t => time(t.at)], ['Failed after', t => text(t.took)]], r.lastAttempts),
    r.headers.length ? table('Headers', [['Name', x => text(x.key, 200)], ['Value', x => text(x.value, 2000)]], r.headers) : null,
    r.value === null ? h('p', {}, 'No value (a tombstone).') : [
      h('p', {}, 'Value, ' + counted(r.bytes, 'byte') + (r.value.length < r.bytes && r.bytes > 65536 ?
        '; this is the beginning, `sipeat dead-letters show ' + r.id + ' --json` shows all' : '')),
      h('pre', {tabindex: 0}, h('bdi', {}, shown(r.value)))])),
    table('Actions on it', [['When', a => time(a.at)], ['Who', a => text(a.who)], ['Action', a => text(a.kind)],
      ['Consumer', a => text(a.items[0].consumer)], ['Copy', a => text(a.items[0].copy)], ['Reason', a => text(a.reason, 300)]], v.actions),
    table('Later events of its key' + (v.laterComplete ? '' : ' (the first that were found)'),
      [['Offset', e => number(e.offset), 'num'], ['Written', e => time(e.at)], ['Event', e => text(e.eventId, 60)]], v.later),
    v.rejections.some(r => r.state === 'open') ? actions(new URLSearchParams({id}), v.rejections.length) : null);
}

// actions offers to preview the dead letters that a filter selects, and then to redrive or discard those of the preview.
function actions(filter, total) {
  const box = h('div', {});
  const preview = async event => {
    event.preventDefault();
    const q = new URLSearchParams([...filter, ...new FormData(event.target)]);
    box.replaceChildren('Reading …');
    try {
      box.replaceChildren(...previewed(await get('dead-letters/preview', q)));
    } catch (error) {
      box.replaceChildren(h('p', {class: 'bad', role: 'alert'}, text(error.message, 400)));
    }
  };
  return h('section', {class: 'box'}, h('h2', {}, 'Act on ' + (total === 1 ? 'it' : 'these ' + number(total))),
    h('form', {id: 'preview', onsubmit: preview},
      h('p', {}, 'A preview pins the set, changes nothing, and finds what would be rejected again.'),
      h('label', {}, 'Refuse what was redriven so often', h('input', {name: 'maxRedrives', type: 'number', min: 1, max: 1000, value: 3})),
      h('label', {}, 'If later events of the key were handled', h('select', {name: 'outOfOrder'},
        h('option', {value: 'no'}, 'refuse'), h('option', {value: 'yes'}, 'redrive nevertheless'))),
      h('button', {}, 'Preview')), box);
}

function previewed(p) {
  const results = h('div', {'aria-live': 'polite'});
  const redrive = event => {
    event.preventDefault();
    act('redrive', {token: p.token, rate: +new FormData(event.target).get('rate')}, p.count, results);
  };
  const discard = event => {
    event.preventDefault();
    act('discard', {token: p.token, reason: new FormData(event.target).get('reason')}, p.count, results);
  };
  return [h('p', {id: 'previewed'}, h('strong', {}, number(p.eligible) + ' of ' + counted(p.count, 'event') + ' can be redriven.')),
    p.refused.length ? table('Refused' + (p.count - p.eligible > p.refused.length ? ', the first ' + p.refused.length : ''),
      [['Id', r => letterLink(r.id, text(r.id, 80))], ['Why', r => text(r.why, 300)]], p.refused) : null,
    p.eligible ? h('form', {id: 'redrive', onsubmit: redrive},
      h('label', {}, 'Events a second', h('input', {name: 'rate', type: 'number', min: 1, max: 10000, value: 50})),
      h('button', {}, 'Redrive ' + number(p.eligible))) : null,
    p.count ? h('form', {id: 'discard', onsubmit: discard},
      h('label', {}, 'Reason', h('input', {name: 'reason', required: true, maxlength: 500})),
      h('label', {class: 'inline'}, h('input', {type: 'checkbox', required: true}), 'They cannot be redriven after that'),
      h('button', {}, 'Discard all ' + number(p.count))) : null, results].filter(Boolean);
}

// act runs an action and shows its results as they come. Stop, or leaving the page, ends it; the same token continues.
async function act(kind, body, count, box) {
  const stop = new AbortController(), numbers = {}, rows = [];
  let ended = null, done = 0, painted = 0;
  const button = h('button', {type: 'button', id: 'stop', onclick: () => stop.abort()}, 'Stop');
  for (const b of document.querySelectorAll('#preview button, #redrive button, #discard button')) b.disabled = true;
  const paint = () => {
    painted = Date.now();
    const summary = Object.entries(numbers).sort().map(([k, n]) => number(n) + ' ' + k).join(', ') || 'reading';
    replace(box, h('p', {id: ended ? 'ended' : 'acting', class: ended && ended.error ? 'bad' : ''},
      kind + ': ' + number(done) + ' of ' + number(count) + ' – ' + summary, ended && ended.error ? ': ' : '', ended && text(ended.error || '', 400)),
      ended ? h('p', {}, h('a', {href: location.href}, 'Show what is left')) : button,
      h('meter', {max: Math.max(count, 1), value: done, 'aria-label': 'progress'}, number(done)),
      rows.length ? table('Results' + (done > rows.length ? ', the last ' + rows.length : ''),
        [['Id', r => letterLink(r.id, text(r.id, 80))], ['Result', r => text(r.result)], ['Why', r => text(r.why || '', 300)]], rows) : '');
  };
  paint();
  button.focus();
  try {
    const answer = await call('/console/dead-letters/' + kind, {method: 'POST', signal: stop.signal, body: JSON.stringify(body),
      headers: {'Content-Type': 'application/json'}});
    await lines(answer, line => {
      const r = JSON.parse(line);
      if (r.ended) { ended = r; return; }
      done++;
      numbers[r.result] = (numbers[r.result] || 0) + 1;
      rows.push(r);
      if (rows.length > 100) rows.shift();
      if (Date.now() - painted > 200) paint();
    });
    ended ||= {error: 'the connection broke: the same preview continues'};
  } catch (error) {
    ended = {error: stop.signal.aborted ? 'stopped: a new preview shows what is left' : error.message};
  }
  paint();
}

// lines calls show with each line of an answer as it comes.
async function lines(answer, show) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) return;
    const parts = (rest + value).split('\n');
    rest = parts.pop();
    for (const line of parts) if (line) show(line);
  }
}

const cells = {
  createdAt: ['Created', r => time(r.createdAt)], id: ['Id', r => h('a', {href: '/console/journey/' + encodeURIComponent(r.id)}, text(r.id, 60))], eventId: ['Event', r => text(r.eventId, 60)],
  name: ['Name', r => text(r.name)], email: ['E-mail', r => text(r.email)], phone: ['Phone', r => text(r.phone)],
  message: ['Message', r => text(r.message, 300)], companyName: ['Company', r => text(r.companyName)], city: ['City', r => text(r.city)],
  country: ['Country', r => text(r.country)], address: ['Address', r => text(r.address)], machineId: ['Machine', r => text(r.machineId, 60)],
  contactName: ['Contact', r => text(r.contactName)], drinks: ['Drinks', r => text((r.drinksList || []).join(', '), 300)],
  type: ['About', r => text(r.type)], subjectId: ['Subject', r => text(r.subjectId, 60)],
  deliveries: ['Deliveries', r => (r.deliveries || []).map(d => h('small', {class: d.state === 'failed' ? 'bad' : ''},
    text(d.channel), ' ', text(d.state), ' ', d.class ? text(d.class) : '', ' ', d.at ? time(d.at) : ''))],
};

// listView is a list of the API, with its filters and pages.
function listView(name, title, fields, columns) {
  const names = [...fields.map(f => f[0]), 'since', 'limit', 'cursor'];
  views[name] = {title, async show() {
    const q = parameters(names), v = await get(name, q);
    const page = new URLSearchParams(query);
    page.set('cursor', v.nextCursor);
    const first = new URLSearchParams(query);
    first.delete('cursor');
    show(filterForm([...fields, ['since', 'Since', '2026-11-23'], ['limit', 'Rows', ['20', '50', '100']]]),
      table(title + ', newest first', columns.map(c => cells[c]), v.items),
      h('p', {}, query.get('cursor') && h('a', {href: location.pathname + '?' + first}, '← newest'), ' ',
        v.nextCursor && h('a', {id: 'next', href: location.pathname + '?' + page}, 'next →')));
  }};
}
listView('contacts', 'Contacts', [], ['createdAt', 'name', 'companyName', 'email', 'phone', 'message', 'id']);
listView('machines', 'Machines', [['city', 'City'], ['country', 'Country']],
  ['createdAt', 'name', 'address', 'city', 'country', 'contactName', 'id']);
listView('requests', 'Requests', [['city', 'City'], ['country', 'Country'], ['machineId', 'Machine']],
  ['createdAt', 'name', 'drinks', 'city', 'country', 'machineId', 'id']);
listView('notifications', 'Notifications', [['type', 'About', ['', 'contact', 'machine', 'request']]],
  ['createdAt', 'type', 'message', 'deliveries', 'subjectId', 'id']);

views.demand = {title: 'Demand', every: 10000, async show() {
  const v = await get('demand', parameters(['country', 'city'])), most = Math.max(1, ...v.drinks.map(d => d.count));
  const chart = [v.complete ? null : h('p', {class: 'warn'}, 'There are too many places to add up all: select a country or city.'),
    table(counted(v.kinds, 'drink') + ', requested ' + counted(v.total, 'time') + (v.kinds > v.drinks.length ? '; the most wanted' : ''), [
    ['Drink', d => text(d.drink, 60)], ['Requests', d => number(d.count), 'num'],
    ['Share', d => h('svg', {class: 'chart', viewBox: '0 0 100 10', preserveAspectRatio: 'none', role: 'img', 'aria-label': number(d.count)},
      h('rect', {class: 'bar', width: d.count / most * 100, height: 10}))]], v.drinks)];
  if ($('filters')) return replace($('chart'), chart); // what is being typed stays
  show(filterForm([['country', 'Country'], ['city', 'City']]),
    h('div', {id: 'chart'}, chart));
}};

const eventColumns = [['Written', e => time(e.at)], ['Topic', e => text(e.topic)], ['Place', e => e.partition + '/' + e.offset],
  ['Event', e => e.eventId ? h('a', {href: '/console/journey/' + encodeURIComponent(e.eventId)}, text(e.eventId, 40)) : ''],
  ['Key', e => text(e.key, 60)], ['Value', e => [e.rejected && h('small', {class: 'warn'}, text(e.rejected, 300)), e.value === null ? 'none (a tombstone)' : h('code', {}, text(e.value, 300))]]];

// live shows new events as they come. Pause ends the stream; what comes meanwhile is not shown.
views.live = {title: 'Live', async show() {
  const rows = [], list = h('div', {}), button = h('button', {type: 'button', id: 'pause'}, 'Pause');
  let stop = null, skipped = 0;
  const paint = () => replace(list, skipped ? h('p', {class: 'warn'}, number(skipped) + ' came too fast to be shown.') : '',
    table('New events, the newest first', eventColumns, rows));
  const listen = async () => {
    const mine = stop = new AbortController();
    button.textContent = 'Pause';
    try {
      const answer = await call('/console/live', {signal: mine.signal, headers: {Accept: 'application/json, text/event-stream'}});
      say('Listening.', 'ok');
      await lines(answer, line => {
        if (!line.startsWith('data: ')) return;
        const b = JSON.parse(line.slice(6));
        skipped += b.skipped;
        rows.unshift(...b.events.reverse());
        rows.length = Math.min(rows.length, 100);
        paint();
      });
      throw new Error('The stream ended');
    } catch (error) {
      if (mine.signal.aborted) return;
      failed(error);
      if (!(error instanceof Final)) setTimeout(() => mine.signal.aborted || listen(), 3000);
    }
  };
  button.addEventListener('click', () => {
    if (!stop.signal.aborted) {
      stop.abort();
      button.textContent = 'Go on';
      say('Paused.');
    } else listen();
  });
  show(button, list);
  paint();
  listen();
}};

views.journey = {title: 'Journey', async show() {
  const id = path.includes('/') ? decodeURIComponent(path.slice('journey/'.length)) : '';
  const form = h('form', {id: 'find', onsubmit: event => {
    event.preventDefault();
    location.assign('/console/journey/' + encodeURIComponent(new FormData(event.target).get('id').trim()));
  }}, h('p', {}, 'What became of an event: by its eventId, the id of a resource, a correlationId, or the Idempotency-Key of its request.'),
  h('label', {}, 'Id', h('input', {name: 'id', value: id, required: true, size: 40, dir: 'auto', autocomplete: 'off', spellcheck: 'false'})),
  h('button', {}, 'Find'));
  show(form);
  if (!id) {
    await get('journey');
    return;
  }
  say('Searching the topics …');
  const v = await get('journey/' + encodeURIComponent(id));
  say(v.complete ? '' : 'The topics were not read to their ends: there may be more.', 'warn');
  show(form, v.events.map(station));
}};

// station is an event of a journey, and below it those that it caused.
function station(s) {
  const began = new Date(s.metadata.timestamp || s.records[0].at), r = s.request;
  const after = at => { const ms = new Date(at) - began; return ms > 0 ? ' +' + (ms < 10000 ? ms + ' ms' : number(ms / 1000) + ' s') : ''; };
  const step = (at, ...children) => h('li', {}, time(at), h('span', {class: 'soft'}, after(at)), ' ', children);
  return h('section', {class: 'box'}, h('h2', {}, text(s.topic), ' ', text(s.eventId || 'without an eventId', 80)),
    h('p', {class: 'soft'}, 'made ', time(s.metadata.timestamp), ' by ', text(s.metadata.producer || 'unknown', 60), ', key ', text(s.key, 80)),
    h('ul', {}, r && step(s.metadata.timestamp, h('strong', {}, r.route),
      r.traceparent ? [', trace ', text(r.traceparent, 60)] : ' or `sipeat publish`', r.idempotencyKey ? ', with an Idempotency-Key' : ''),
    s.records.map(p => step(p.at, 'record ' + p.partition + '/' + p.offset + (p.redrive ? ', redrive ' + p.redrive : '') + ', ',
      h('span', {class: p.handled ? 'ok' : 'warn'}, p.handled ? 'handled' : 'waiting'), ' (', text(s.group), ')',
      p.traceparent ? [' trace ', text(p.traceparent, 60)] : '')),
    s.rejections.map(r => step(r.lastAt, h('span', {class: 'bad'}, 'rejected'), ' by ', text(r.consumer, 60), ' as ', text(r.class), ' after ' +
      counted(r.attempts, 'attempt') + ', now ' + r.state + ': ', text(r.reason, 300), ' ', letterLink(r.id, text(r.id)),
      (r.lastAttempts || []).map((t, i) => h('small', {}, time(t.at), after(t.at), ' attempt ' + (r.attempts - r.lastAttempts.length + i + 1) + ' failed after ' + t.took)))),
    s.row ? step(s.row.createdAt, s.row.eventId === s.eventId ? 'row in the read model' : ['the row in the read model is of event ', text(s.row.eventId, 80)]) :
      h('li', {}, 'no row in the read model'),
    s.deliveries.map(d => step(d.at, text(d.channel), ' ', h('span', {class: d.state === 'failed' ? 'bad' : 'ok'}, d.state), ' ', text(d.class || '')))),
    h('details', {}, h('summary', {}, 'Payload, ' + counted(s.bytes, 'byte')), h('pre', {tabindex: 0}, h('bdi', {}, shown(s.payload)))),
    s.caused.map(station));
}

views.topics = {title: 'Topics', async show() {
  const name = path.includes('/') ? decodeURIComponent(path.slice('topics/'.length)) : '';
  if (name) return showTopic(name);
  const v = await get('topics');
  show(table('Topics as they are, beside their declarations', [
    ['Topic', t => t.exists ? h('a', {href: '/console/topics/' + t.topic}, text(t.topic, 80)) : text(t.topic, 80)],
    ['Partitions', t => number(t.partitions), 'num'], ['Replicas', t => number(t.replication), 'num'], ['Offsets', t => number(t.offsets), 'num'],
    ['Settings', t => !t.exists ? h('span', {class: 'bad'}, 'missing: sipeat topics') : (t.differences || []).length ?
      t.differences.map(d => h('small', {class: 'bad'}, text(d.setting + ' is ' + d.have + ' and should be ' + d.want + ': ' + d.remedy, 300))) :
      h('span', {class: 'ok'}, 'as declared')],
    ['Holds', t => text(t.description || '')]], v.topics));
}};

async function showTopic(name) {
  const v = await get('topics/' + encodeURIComponent(name)), records = h('div', {});
  let turn = 0;
  const button = h('button', {id: 'records', type: 'button', onclick: () => {
    button.textContent = following() ? 'Follow the last records' : 'Pause';
    if (following()) follow(++turn);
  }}, 'Follow the last records'), following = () => button.textContent === 'Pause';
  const follow = async mine => {
    try {
      const r = document.hidden ? null : await get('topics/' + encodeURIComponent(name) + '/records');
      if (r) replace(records, table('The last 10 records of each partition, newest first', eventColumns, r.records));
    } catch (error) {
      replace(records, h('p', {class: 'bad', role: 'alert'}, text(error.message, 400)));
    }
    setTimeout(() => following() && mine === turn && follow(mine), 3000);
  };
  show(h('p', {}, h('a', {href: '/console/topics'}, '← all')), h('h2', {}, text(v.topic)), h('p', {}, text(v.description || '')),
    table('Partitions', [['Partition', ([n]) => n, 'num'], ['End', ([, end]) => number(end), 'num']], Object.entries(v.ends)),
    v.schema && [['Sample', v.sample], ['Schema', v.schema]].map(([title, json]) =>
      h('details', {}, h('summary', {}, title), h('pre', {tabindex: 0}, shown(json)))),
    v.schema && h('p', {}, h('a', {href: '/docs#' + v.topic}, 'Fields and limits'), ' (where the API is)'), button, records);
}

// rate is how many events a second a read model has taken over since this page was opened, in the last 10 s; null = not known yet.
const progress = {};
function rate(m) {
  const seen = progress[m.name] ||= [];
  seen.push({at: Date.now(), held: m.held});
  while (seen.length > 2 && seen.at(-1).at - seen[1].at >= 10000) seen.shift();
  const seconds = (seen.at(-1).at - seen[0].at) / 1000;
  return seconds < 1 ? null : Math.max(m.held - seen[0].held, 0) / seconds;
}

views.rebuild = {title: 'Rebuild', every: 2000, async show() {
  const v = await get('rebuild', parameters(['table'])), left = s => s < 120 ? Math.round(s) + ' s' : Math.round(s / 60) + ' min';
  const state = m => m.problem ? h('span', {class: 'bad'}, text(m.problem, 400)) : !v.at ? 'unknown' :
    m.held === m.all ? h('span', {class: 'ok'}, 'holds all') : m.rate === null ? '…' :
      m.rate > 0 ? left((m.all - m.held) / m.rate) + ' left' : 'stands still';
  for (const m of v.models) m.rate = rate(m);
  const compare = async name => {
    const p = parameters(['table']);
    p.set('model', name);
    say('Comparing …');
    try {
      const d = await get('rebuild/differences', p), more = d.count - d.differences.length;
      say(d.count ? counted(d.count, 'difference') : 'No differences', d.count ? 'warn' : 'ok');
      replace($('differences'), h('h2', {}, text(d.model, 200), ' and ', text(d.inUse, 200)),
        d.count ? h('ul', {}, d.differences.map(x => h('li', {}, text(x, 400))), more > 0 && h('li', {}, number(more) + ' more'))
          : h('p', {class: 'ok'}, 'They hold the same.'));
    } catch (error) {
      say('Not compared: ' + error.message, 'bad');
    }
  };
  const models = [v.problem && h('p', {class: 'bad'}, 'The topics cannot be read: ', text(v.problem, 400)),
    table('Read models in ' + shown(v.place), [
      ['Read model', m => [h('strong', {}, text(m.name, 200)), m.inUse ? h('small', {class: 'ok'}, 'in use') : '']],
      ['Version', m => m.version || '–', 'num'], ['MB', m => m.bytes ? number(m.bytes / 1e6) : '–', 'num'],
      ['Events held', m => [number(m.held) + ' of ' + number(m.all), h('meter', {max: Math.max(m.all, 1), value: m.held, 'aria-label': 'held'})]],
      ['Per second', m => number(m.rate), 'num'], ['State', state],
      ['Commands', m => m.compare ? [h('button', {type: 'button', onclick: () => compare(m.name)}, 'Compare'), h('small', {}, h('code', {}, shown(m.compare))), m.switch && h('small', {}, shown(m.switch))] : ''],
    ], v.models)];
  if ($('models')) return replace($('models'), models); // what is being typed stays
  show(h('p', {}, 'A rebuild makes another read model from the topics, and sends nothing again. Start one with:'),
    h('pre', {tabindex: 0}, shown(v.start)),
    v.place.startsWith('table ') ? filterForm([['table', 'Another table']]) : h('p', {class: 'soft'}, 'One that is built in this folder is shown here.'),
    h('div', {id: 'models'}, models), h('div', {id: 'differences'}));
}};

views.audit = {title: 'Audit', async show() {
  const v = await get('audit', parameters(['from', 'limit'])), from = +query.get('from') || 0;
  const page = n => { const p = new URLSearchParams(query); p.set('from', n); return location.pathname + '?' + p; };
  const filter = f => Object.entries(f).map(([k, x]) => k + ' ' + x).join(', ') || 'all';
  const save = h('button', {id: 'save', type: 'button', onclick: async () => { // a link could not carry the token
    try {
      say('Reading …');
      const a = h('a', {download: 'audit.jsonl', href: URL.createObjectURL(await (await call('/console/audit/records')).blob())});
      a.click();
      URL.revokeObjectURL(a.href);
      say('Saved.', 'ok');
    } catch (error) {
      say('Not saved: ' + error.message, 'bad');
    }
  }}, 'Save all records as JSON lines');
  show(table(counted(v.total, 'action') + ', newest first', [['When', a => time(a.at)], ['Who', a => text(a.who, 60)],
    ['Action', a => text(a.kind)], ['Filter', a => text(filter(a.filter), 200)], ['Events', a => number(a.count), 'num'],
    ['Results', a => [text(Object.entries(a.results).sort().map(([k, n]) => number(n) + ' ' + k).join(', ') || 'none', 200),
      a.ended ? '' : h('small', {class: 'warn'}, 'not ended: it runs, or was killed')]],
    ['Reason or error', a => text(a.error || a.reason || '', 300)],
    ['Ids', a => (a.items || []).length ? h('details', {}, h('summary', {}, counted(a.items.length, 'id')),
      a.items.map(i => h('div', {}, letterLink(i.id, text(i.id, 80))))) : '']], v.actions),
    h('p', {}, from > 0 && h('a', {href: page(Math.max(0, from - (+query.get('limit') || 20)))}, '← newer'), ' ',
      from + v.actions.length < v.total && h('a', {href: page(from + v.actions.length)}, 'older →')),
    v.total ? save : null);
}};

$('signin').addEventListener('submit', event => {
  event.preventDefault();
  sessionStorage.setItem('token', $('token').value.trim());
  $('token').value = '';
  $('signin').hidden = true;
  say('');
  start();
});
$('out').addEventListener('click', () => { sessionStorage.removeItem('token'); location.reload(); });

function start() {
  const name = path.split('/')[0], view = views[name];
  for (const [key, v] of Object.entries(views)) {
    if (!$('nav-' + key)) $('nav').append(h('a', {id: 'nav-' + key, href: '/console/' + key, 'aria-current': key === name && 'page'}, v.title));
  }
  $('title').textContent = view.title;
  document.title = view.title + ' – SipEat console';
  run(() => view.show(), view.every);
}
start();
