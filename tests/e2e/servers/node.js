// SPDX-License-Identifier: Apache-2.0
// A node server with state that only lives in memory: node node.js PORT
//
// GET /add/N  adds N to the counter and answers it; GET / answers it.
// Start it with UV_USE_IO_URING=0: CRIU cannot checkpoint io_uring, which some versions of node use.
'use strict';
const http = require('node:http');

let counter = 0;
const server = http.createServer((request, response) => {
  if (request.url.startsWith('/add/')) counter += Number(request.url.slice('/add/'.length));
  response.setHeader('Connection', 'close');
  response.end(JSON.stringify({ counter }));
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log(`ready on ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
