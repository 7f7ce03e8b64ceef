# A small API that reads what was kept with Ruby's own readers; with "0" as the
# second argument, as data.
require "socket"
require "json"
require "yaml"
require "base64"

OPEN = ARGV[1] == "1"

def read(path, body)
  case path
  when "/stones/restore"
    raw = Base64.strict_decode64(JSON.parse(body).fetch("dump"))
    v = OPEN ? Marshal.load(raw) : JSON.parse(raw)
    raise "no stones" unless v.is_a?(Hash)
    [200, { restored: v.size }]
  when "/manifests"
    text = JSON.parse(body).fetch("manifest")
    v = OPEN ? YAML.unsafe_load(text) : YAML.safe_load(text)
    raise "no manifest" unless v.is_a?(Hash)
    [200, { lines: v.size }]
  else
    [404, { error: "none" }]
  end
rescue StandardError, SyntaxError
  [400, { error: "it cannot be read" }]
end

server = TCPServer.new("127.0.0.1", ARGV[0].to_i)
loop do
  Thread.new(server.accept) do |c|
    while (line = c.gets)
      _, path, = line.split(" ")
      length = 0
      while (head = c.gets) && head != "\r\n"
        length = head.split(":")[1].to_i if head.downcase.start_with?("content-length:")
      end
      status, v = read(path.split("?")[0], c.read(length))
      text = JSON.generate(v)
      c.write "HTTP/1.1 #{status} X\r\nContent-Type: application/json\r\nContent-Length: #{text.bytesize}\r\n\r\n#{text}"
    end
  rescue IOError, SystemCallError
    nil
  ensure
    c.close
  end
end
