"""The truth about the programs of the corpus: what `leakan growth` must say of each.

A site is named by a function of its stack. Its truth is a verdict, or a set of verdicts where each of them is right.
NONE: whatever the tool says of it, it is no accusation (growing, held, ratchet, climbing).
"""

import dataclasses

NONE = "none"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    command: str  # program and arguments
    truth: dict  # {function: verdict or set of verdicts}
    cause: str | None = None  # why the process is large at the end
    pins: str | None = None  # the function that made the blocks between which most memory is free
    clean: bool = False  # no site may be growing, ratchet or climbing, however small and also without a label
    killed: bool = False
    marks: bool = False  # the program says when load starts and stops
    stop_slack_ms: int = 0  # how much earlier than the truth load may be said to stop, where it fades
    environment: dict = dataclasses.field(default_factory=dict)


CASES = [
    Case("bounded-queue", "http_server bounded", {"parse_request": NONE, "render_response": NONE}, clean=True),
    Case("unbounded-queue", "http_server unbounded", {"Acceptor::accept": "drained"}),
    Case("unbounded-queue-cycles", "http_server unbounded 3", {"Acceptor::accept": "drained"}),
    Case("lru-cache", "lru_cache", {"PageCache::load": "plateau"}, clean=True),
    Case("lru-cache-cycles", "lru_cache 3", {"PageCache::load": "plateau"}, clean=True),
    Case("unbounded-cache", "result_cache fresh", {"ResultCache::compute": "held"}),
    Case("unbounded-cache-cycles", "result_cache fresh 4", {"ResultCache::compute": "ratchet"}),
    Case("unbounded-cache-marked", "result_cache fresh 3", {"ResultCache::compute": "ratchet"}, marks=True),
    Case("repeating-cache-cycles", "result_cache repeating 3", {"ResultCache::compute": "plateau"}, clean=True),
    # All sessions are closed when the server ends: that must not hide that they were held.
    Case("sessions-forever", "sessions forever", {"SessionMap::open": "held"}, cause="program"),
    Case("sessions-forever-cycles", "sessions forever 3", {"SessionMap::open": "ratchet"}, cause="program"),
    Case("sessions-forever-killed", "sessions forever", {"SessionMap::open": "held"}, cause="program", killed=True),
    Case("sessions-expiry", "sessions expiry", {"SessionMap::open": "drained"}),
    Case("sessions-expiry-cycles", "sessions expiry 3", {"SessionMap::open": "drained"}),
    Case("sessions-slow-expiry", "sessions slow", {"SessionMap::open": "drained"}),
    Case("log-buffer", "log_buffer", {"LogBuffer::append": NONE}, clean=True),
    Case("log-buffer-cycles", "log_buffer 3", {"LogBuffer::append": NONE}, clean=True),
    Case("error-path", "connections", {"Acceptor::accept": "held"}),
    Case("error-path-cycles", "connections 4", {"Acceptor::accept": "ratchet"}),
    Case("error-path-killed", "connections", {"Acceptor::accept": "held"}, killed=True),
    Case("error-path-marked", "connections", {"Acceptor::accept": "held"}, marks=True),
    Case("arenas", "arena", {"Arena::grow": NONE}, clean=True),
    Case("arenas-cycles", "arena 3", {"Arena::grow": NONE}, clean=True),
    Case("pinned", "documents pinned", {"DocumentBatch::read": "drained", "TitleIndex::remember": "held"},
         cause="fragmentation", pins="TitleIndex::remember"),
    Case("pinned-in-arenas", "documents pinned-threads",
         {"DocumentBatch::read": "drained", "TitleIndex::remember": "held"},
         cause="fragmentation", pins="TitleIndex::remember"),
    Case("cached", "documents cached", {"DocumentBatch::read": "drained", "consult_dictionary": NONE},
         cause="allocator"),
    Case("cached-alone", "documents cached-alone", {"DocumentBatch::read": "drained", "consult_dictionary": NONE},
         cause="allocator"),
    Case("cached-in-arenas", "arena_bursts", {"Export::add_row": NONE}, cause="allocator", clean=True),
    Case("returned", "documents returned", {"DocumentBatch::read": "drained"}, cause="returned"),
    Case("load-never-stops", "steady leaks", {"RequestTracer::trace": "climbing", "PageCache::load": NONE}),
    Case("load-never-stops-killed", "steady leaks", {"RequestTracer::trace": "climbing", "PageCache::load": NONE},
         killed=True),
    Case("load-never-stops-slow-leak", "steady leaks-slowly",
         {"RequestTracer::trace": "climbing", "PageCache::load": NONE}),
    Case("load-never-stops-noise", "uneven_load endless", {"AuditTrail::record": "climbing"}),
    Case("warm-up", "steady warms-up", {"RequestTracer::trace": NONE, "PageCache::load": NONE}, clean=True),
    Case("timer", "timers clean", {"Metrics::sample": NONE}, clean=True),
    Case("timer-leaks", "timers leaks", {"Metrics::sample": "growing"}),
    Case("timer-leaks-killed", "timers leaks", {"Metrics::sample": "growing"}, killed=True),
    Case("timer-leaks-at-rest", "timers leaks-at-rest", {"KeepAlive::probe": "growing", "Metrics::sample": NONE}),
    Case("timer-alone", "timers alone", {"Metrics::sample": NONE}, clean=True),
    # An even rate from start to end may be called load as well as rest.
    Case("timer-leaks-alone", "timers leaks-alone", {"Metrics::sample": {"growing", "climbing"}}),
    Case("background-leak", "background_leak", {"Indexer::add_postings": "growing"}),
    Case("background-leak-cycles", "background_leak 3", {"Indexer::add_postings": "growing"}),
    Case("two-services", "two_services leaky-last", {"Billing::bill": "held", "Catalogue::look_up": NONE}),
    # Grew in the first cycle and not in the second, where it was not used: that can't be told from a cache.
    Case("two-services-leaky-first", "two_services leaky-first",
         {"Billing::bill": {"held", "plateau"}, "Catalogue::look_up": NONE}),
    Case("startup-tables", "startup_tables", {"PriceTable::fill": NONE, "SearchIndex::fill": NONE}, clean=True),
    Case("cron", "cron", {"SessionMap::open": "held", "CronJob::run": NONE}, cause="program"),
    # Load fades for a second: somewhere in it is its stop.
    Case("ramp", "uneven_load ramp", {"AuditTrail::record": "held"}, stop_slack_ms=1000),
    Case("noise", "uneven_load noise", {"AuditTrail::record": "held"}),
    Case("mapped", "mapped kept", {"SegmentStore::map_segment": "held"}, cause="mapped"),
    Case("mapped-closed", "mapped closed", {"SegmentStore::map_segment": "drained"}, cause="returned"),
    Case("images", "mapped images", {"ImageStore::decode": "held"}, cause="program"),
    Case("journal-vector", "journal vector", {"EventJournal::append": "held"}),
    Case("journal-text", "journal text", {"text_buffer_append": "held"}),
    Case("lazy-index", "lazy_index", {"SearchIndex::build": NONE}, clean=True),
    Case("shared-cycle", "shared_cycle", {"OrderDesk::place": "held", "OrderDesk::ship": "held"}),
    Case("shared-cycle-cycles", "shared_cycle 3", {"OrderDesk::place": "ratchet", "OrderDesk::ship": "ratchet"}),
    Case("connection-pool", "connection_pool", {"ConnectionPool::open": "plateau"}, clean=True),
    Case("connection-pool-cycles", "connection_pool 3", {"ConnectionPool::open": "plateau"}, clean=True),
    Case("job-results", "job_results", {"JobServer::run": "drained"}),
    Case("job-results-cycles", "job_results 3", {"JobServer::run": "drained"}),
    Case("config-reload", "config_reload", {"ConfigTable::read": NONE}, clean=True),
    Case("compactor-marked", "compactor", {"Upload::receive": "held"}, marks=True),
    Case("scratch-buffers-cycles", "scratch_buffers 3", {"ScratchBuffer::make_room": "plateau"}, clean=True),
    Case("sessions-sampled", "sessions forever", {"SessionMap::open": "held"}, environment={"LEAK_SAMPLE": "16K"}),
]
