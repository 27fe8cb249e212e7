// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coldstart {

/// coldstart_matmul(a, b, c, n): c = a x b, matrices of n x n unsigned ints, a thread an element. For sm_70
/// and newer; the driver compiles it for the GPU that is there.
inline constexpr const char* matmul_ptx = R"(
.version 7.0
.target sm_70
.address_size 64
.visible .entry coldstart_matmul(.param .u64 p_a, .param .u64 p_b, .param .u64 p_c, .param .u32 p_n)
{
  .reg .pred %p<4>;
  .reg .b32 %r<20>;
  .reg .b64 %d<12>;
  ld.param.u64 %d1, [p_a];
  ld.param.u64 %d2, [p_b];
  ld.param.u64 %d3, [p_c];
  ld.param.u32 %r1, [p_n];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.u32 %r5, %r2, %r3, %r4;
  mov.u32 %r6, %ctaid.y;
  mov.u32 %r7, %ntid.y;
  mov.u32 %r8, %tid.y;
  mad.lo.u32 %r9, %r6, %r7, %r8;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra end;
  setp.ge.u32 %p2, %r9, %r1;
  @%p2 bra end;
  cvta.to.global.u64 %d1, %d1;
  cvta.to.global.u64 %d2, %d2;
  cvta.to.global.u64 %d3, %d3;
  mul.lo.u32 %r10, %r9, %r1;
  mul.wide.u32 %d4, %r10, 4;
  add.u64 %d5, %d1, %d4;
  mul.wide.u32 %d6, %r5, 4;
  add.u64 %d7, %d2, %d6;
  mul.wide.u32 %d8, %r1, 4;
  mov.u32 %r11, 0;
  mov.u32 %r12, 0;
loop:
  ld.global.u32 %r13, [%d5];
  ld.global.u32 %r14, [%d7];
  mad.lo.u32 %r11, %r13, %r14, %r11;
  add.u64 %d5, %d5, 4;
  add.u64 %d7, %d7, %d8;
  add.u32 %r12, %r12, 1;
  setp.lt.u32 %p3, %r12, %r1;
  @%p3 bra loop;
  add.u32 %r15, %r10, %r5;
  mul.wide.u32 %d9, %r15, 4;
  add.u64 %d10, %d3, %d9;
  st.global.u32 [%d10], %r11;
end:
  ret;
}
)";

}  // namespace coldstart
