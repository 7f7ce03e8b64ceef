-- Sends the requests that bench wrote into a folder, in turn. The first argument is
-- GET or POST, the second the folder, the third where a POST goes, the fourth the Host.
local threads = 0
function setup(thread)
  thread:set("offset", threads * 499)
  threads = threads + 1
end

local function lines(file)
  local out = {}
  for line in io.lines(file) do out[#out + 1] = line end
  return out
end

function init(args)
  local method, dir, post, host = args[1], args[2], args[3], args[4]
  local tokens, paths, bodies = lines(dir .. "/tokens"), lines(dir .. "/paths"), lines(dir .. "/bodies")
  requests = {}
  for i = 1, #paths do
    local headers = {["Authorization"] = tokens[(i - 1) % #tokens + 1], ["Accept"] = "application/json", ["User-Agent"] = "bench/1"}
    if host then headers["Host"] = host end
    if method == "POST" then
      headers["Content-Type"] = "application/json"
      requests[i] = wrk.format("POST", post, headers, bodies[i])
    else
      requests[i] = wrk.format("GET", paths[i], headers)
    end
  end
  at = offset
end

function request()
  at = at + 1
  return requests[at % #requests + 1]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"micros":%d,"p50":%d,"p99":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), e.status, e.connect + e.read + e.write + e.timeout))
end
