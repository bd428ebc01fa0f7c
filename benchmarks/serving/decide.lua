-- Sends the prepared bodies in turn, about one customer after the other (as `subject` in shop.py gives them); at the
-- end, prints what was measured as one line of JSON.
local stride, subjects
local before, after, at = {}, {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local from, to = line:find("s?????", 1, true)
    before[#before + 1], after[#after + 1] = line:sub(1, from - 1), line:sub(to + 1)
  end
  stride, subjects = tonumber(arguments[3]), tonumber(arguments[4])
  at = math.random(subjects)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. arguments[2]
end

function request()
  at = at + 1
  local i, subject = at % #before + 1, string.format("s%05d", at * stride % subjects)
  return wrk.format(nil, "/v1/decide", nil, before[i] .. subject .. after[i])
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.3f, "errors": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
